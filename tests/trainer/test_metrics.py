"""What the trainer counts: nothing twice, nothing of earlier processes, and no figure that nobody has told."""

from dataclasses import replace
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram

from contract.event_log import EventLog
from contract.events import Action, Events, FeedbackEvent
from tests.trainer.conftest import MakeWorker, send, some_events
from trainer.checkpoint import Account
from trainer.distribution import Distribution
from trainer.gates import GATES
from trainer.learner import Learner
from trainer.metrics import TrainerMetrics
from trainer.metrics_math import psi, psi_of_counts
from trainer.progressive import SLATE_EVENTS, WINDOW_EVENTS, Progressive
from trainer.score_drift import ScoreDrift
from trainer.settings import LearnerSettings
from trainer.step_counts import ACTIONS, FLAGS, LABELS, counts_of
from trainer.worker import Worker

SETTINGS = LearnerSettings(user_capacity=300, item_capacity=300, side_rows=1_024, dim=4, device="cpu")


def sample(worker: Worker | TrainerMetrics, name: str, **labels: str) -> float:
    metrics = worker.metrics if isinstance(worker, Worker) else worker
    value = metrics.registry.get_sample_value(f"winnow_trainer_{name}", labels)
    assert value is not None, name
    return value


def test_a_step_is_counted_by_label_source_action_and_flag() -> None:
    def event(name: str, watch_ms: int | None, *actions: Action, foreground: bool = True) -> FeedbackEvent:
        return FeedbackEvent(
            event_id=name, user_id="u", item_id="v", at=1, watch_ms=watch_ms, duration_ms=10_000,
            actions=list(actions), foreground=foreground,
        )  # fmt: skip

    report = Learner(SETTINGS).step(
        Events.from_models(
            [
                event("a", 500),
                event("b", 9_900, Action.LIKE, Action.SHARE),
                event("c", 16_000, Action.LIKE, Action.DISLIKE),
                event("d", 5_000, foreground=False),
                event("e", None, Action.REPORT),
            ]
        )
    )
    counts = counts_of(replace(report, belief=np.array([0.9, 0.9, 0.9, 0.0, 0.9])))
    assert list(counts.labels) == LABELS
    assert list(counts.labels.values()) == [1, 2, 2, 1, 1]
    assert {name: n for name, n in counts.actions.items() if n} == {"like": 2, "share": 1, "dislike": 1, "report": 1}
    assert counts.flags == {"none": 0, "swipe": 1, "complete": 1, "loop": 1, "background": 2}
    assert (list(counts.actions), list(counts.flags)) == (ACTIONS, FLAGS)


def test_whole_arrays_fall_into_the_buckets_of_prometheus_own_histogram() -> None:
    theirs, ours, bounds = CollectorRegistry(), CollectorRegistry(), (0.001, 0.1, 0.5, 1)
    values = np.array([0.0, 0.001, 0.0011, 0.5, 0.7, 1.0, 3.0])
    histogram = Histogram("winnow_x_ratio", "X.", buckets=bounds, registry=theirs)
    for value in values:
        histogram.observe(value)
    Distribution("winnow_x_ratio", "X.", bounds, ours).observe(values)

    def read(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
        found = [one for family in registry.collect() for one in family.samples if not one.name.endswith("_created")]
        return {(one.name, one.labels.get("le", "")): one.value for one in found}

    assert read(ours) == pytest.approx(read(theirs))
    assert len(read(ours)) == 7


def test_events_are_counted_from_where_this_process_began_and_never_twice() -> None:
    metrics = TrainerMetrics()
    metrics.begin(Account(trained=1_000, duplicates=5), checkpoint_at=12.5)
    metrics.observe_progress(Account(trained=1_300, duplicates=5), waiting_entries=2)
    assert sample(metrics, "events_total", outcome="trained") == 300
    metrics.observe_progress(Account(trained=1_100, duplicates=9), 0)  # back to a checkpoint, and other duplicates
    metrics.observe_progress(Account(trained=1_350, duplicates=9), 0)
    assert sample(metrics, "events_total", outcome="trained") == 350
    assert sample(metrics, "events_total", outcome="duplicates") == 4
    assert sample(metrics, "checkpoint_timestamp_seconds") == 12.5


def test_a_publication_counts_the_gates_it_failed_and_shows_what_they_saw(new_worker: MakeWorker, log_url: str) -> None:
    worker = new_worker(gate_min_events=2_000)
    assert isnan(sample(worker, "auc_ratio"))
    assert isnan(sample(worker, "live_auc_ratio", model="reference"))
    send(EventLog(log_url), some_events(900))
    worker.drain()
    worker.publish()
    failed = {gate: sample(worker, "gate_failures_total", gate=gate) for gate in GATES}
    assert failed["min_events"] == 1
    assert failed["max_parity_gap"] == 0
    assert sample(worker, "versions_total", verdict="HOLD") == 1
    assert sample(worker, "publish_seconds_count") == 1
    assert sample(worker, "step_seconds_count") >= 1
    assert 0 < sample(worker, "auc_ratio") < 1
    assert sample(worker, "id_rows", space="users") == 50
    assert sample(worker, "id_rows_bound", space="users") == 500
    assert isnan(sample(worker, "holdout_auc_ratio", model="champion"))
    assert 0 < sample(worker, "disk_free_ratio") < 1
    said = sum(
        sample(worker, "labels_total", label=label, source="said") for label, source in LABELS if source == "said"
    )
    assert said == sample(worker, "events_total", outcome="trained") == 900
    inferred = sum(sample(worker, "labels_total", label=label, source="inferred") for label in ("positive", "negative"))
    assert inferred == sample(worker, "labels_total", label="unlabelled", source="said")
    assert sample(worker, "idl_target_ratio_count") == inferred


def test_a_disk_that_is_not_there_has_no_figure(tmp_path: Path) -> None:
    assert isnan(sample(TrainerMetrics(tmp_path / "gone"), "disk_free_ratio"))


def test_the_stability_index_of_fine_counts_is_near_that_of_the_scores() -> None:
    random = np.random.default_rng(0)
    before, now = random.beta(2, 50, 20_000), random.beta(2.6, 50, 20_000)
    exact, drift = psi(before, now), ScoreDrift(20_000)
    drift.add(before)
    assert isnan(drift.value)
    drift.add(now[:9_000])
    carried = ScoreDrift(20_000)
    carried.restore(drift.state())
    carried.add(now[9_000:])
    assert exact > 0.1
    assert carried.value == pytest.approx(exact, rel=0.05)
    carried.add(now)
    assert carried.value == pytest.approx(0.0, abs=1e-6)
    assert isnan(psi_of_counts(np.zeros(4, np.int64), np.ones(4, np.int64)))


def test_figures_of_the_window_come_through_a_checkpoint_and_an_older_one_is_taken() -> None:
    learner, progressive = Learner(SETTINGS.model_copy(update={"target": "idl-aligned"})), Progressive()
    events = some_events(2 * WINDOW_EVENTS + SLATE_EVENTS // 2)
    for start in range(0, len(events), 2_048):
        progressive.add(learner.step(events.take(slice(start, start + 2_048))), learner)
    quality, again, older = progressive.quality(), Progressive(), Progressive()
    assert quality.window_gauc > 0.55  # the even like the even
    assert 0.5 < quality.target_mean / quality.prior < 2  # aligned IDL keeps it there
    assert quality.score_psi >= 0
    state = progressive.state()
    again.restore(state)
    figures = [(one.window_gauc, one.gauc, one.score_psi, one.target_mean) for one in (quality, again.quality())]
    assert figures[0] == pytest.approx(figures[1])
    older.restore(
        {
            name: part
            for name, part in state.items()
            if "drift" not in name and name not in ("latest_sums", "used_targets")
        }
    )
    assert (older.quality().gauc, older.quality().window_auc) == pytest.approx((quality.gauc, quality.window_auc))
    assert [older.quality().window_gauc, older.quality().score_psi] == pytest.approx([nan, nan], nan_ok=True)

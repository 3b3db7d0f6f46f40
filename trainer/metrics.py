"""What the trainer shows to Prometheus, on a port of its own. No user or item id is ever a label.

Counters count in this process, from 0: what a checkpoint brings back was counted by the process that learned it, and a
counter that went down a little, to the checkpoint, would be read as one that began anew and counted all of it again.
"""

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from contract.dead_letters import Reason
from contract.errors import SetupError
from contract.release import release
from models.inverse_gradient import Direction
from trainer.checkpoint import Account
from trainer.distribution import Distribution
from trainer.journal_entries import decided
from trainer.labels import UNLABELLED
from trainer.quality_metrics import QualityMetrics
from trainer.step_counts import ACTIONS, FLAGS, LABELS, counts_of
from trainer.step_report import StepReport
from trainer.timeliness import Timeliness

_OUTCOMES = ("trained", "held_out", "capped", "duplicates", "dead")
_TARGET_BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1)
_STEP_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1)
_CHECKPOINT_BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class TrainerMetrics(QualityMetrics):
    """Collectors on a private registry; `serve` opens the port."""

    def __init__(self, home: Path | None = None) -> None:
        """Make the collectors; `home` is the directory whose disk is looked at."""
        # It would expose one more series for each counter and histogram, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        super().__init__(registry)
        ProcessCollector(registry=registry)
        Gauge("winnow_build_info", "Release of this process; always 1.", ["release"], registry=registry).labels(
            release()
        ).set(1)
        self._known = Account()
        self._events = self._counter("events", "Events read, by what became of them.", "outcome", _OUTCOMES)
        labels = Counter(
            "winnow_trainer_labels",
            "Events by label: `said` by explicit actions, and of the unlabelled the pseudo-label, `inferred`.",
            ["label", "source"],
            registry=registry,
        )
        actions = self._counter("actions", "Explicit actions.", "action", ACTIONS)
        evidence = self._counter(
            "evidence",
            "Events by what kind of watch it was; `background` where its length says nothing.",
            "flag",
            FLAGS,
        )
        # Children are kept: to find one by its labels costs as much as ten additions.
        self._labels = {pair: labels.labels(*pair) for pair in LABELS}
        self._actions = {action: actions.labels(action) for action in ACTIONS}
        self._evidence = {flag: evidence.labels(flag) for flag in FLAGS}
        self._directions = self._counter("directions", "Decisions of Inverse Gradient.", "direction", tuple(Direction))
        self._idl_targets = Distribution(
            "winnow_trainer_idl_target_ratio",
            "Target that Inverse Dual Loss, as published, gives what is unlabelled.",
            _TARGET_BUCKETS,
            registry,
        )
        self._acknowledged = self._figure(
            "acknowledged_timestamp_seconds", "Time of acknowledgement up to which every event is learned."
        )
        self._waiting = self._gauge("waiting_entries", "Log entries read whose window is not yet over.")
        self._checkpoint = self._figure(
            "checkpoint_timestamp_seconds", "When the last checkpoint was written, or the trainer began without one."
        )
        self._checkpoint_seconds = self._histogram(
            "checkpoint_seconds", "Time to write one checkpoint and its labels, and to trim.", _CHECKPOINT_BUCKETS_S
        )
        self.step_seconds = self._histogram("step_seconds", "Time to score and learn one batch.", _STEP_BUCKETS_S)
        self._dead_letters = self._counter("dead_letters", "Dead letters written, by reason.", "reason", tuple(Reason))
        self._untimely = self._counter(
            "untimely_events",
            "Events that say they happened 7 days before their acknowledgement, or 5 minutes after.",
            "when",
            ("late", "future"),
        )
        self._regressions = Counter(
            "winnow_trainer_stream_regressions",
            "Partitions found without what was learned from them, and read anew.",
            registry=registry,
        )
        self._gaps = Counter(
            "winnow_trainer_stream_gaps",
            "Partitions found with entries deleted before they were read.",
            registry=registry,
        )
        self._broken = self._gauge("unreadable_partitions", "Partitions whose key is no stream.")
        self._disk_full = self._gauge("disk_full", "Whether the trainer waits for space: 1 or 0.")
        free = self._figure("disk_free_ratio", "Share of the disk under the home that is free.")
        if home is not None:
            free.set_function(lambda: _free_share(home))

    def serve(self, host: str, port: int) -> None:
        """Answer GET /metrics on a daemon thread. Raises SetupError if the address is taken."""
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            raise SetupError(
                f"cannot show metrics on {host} port {port} ({error.strerror}); stop what uses it, or set "
                "WINNOW_TRAINER_METRICS_PORT (0 turns them off)"
            ) from error

    def begin(self, account: Account, checkpoint_at: float) -> None:
        """Note what earlier processes have counted, and when they wrote it down, in seconds since the epoch."""
        self._known = account
        self._checkpoint.set(checkpoint_at)

    def observe_step(self, report: StepReport) -> None:
        """Count one step."""
        counts = counts_of(report)
        for pair, count in counts.labels.items():
            self._labels[pair].inc(count)
        for action, count in counts.actions.items():
            self._actions[action].inc(count)
        for flag, count in counts.flags.items():
            self._evidence[flag].inc(count)
        unsaid = (report.label == UNLABELLED) & ~report.capped
        self._idl_targets.observe(np.asarray(report.idl_target[unsaid]))
        if report.steered is not None:
            self._directions.labels(decided(report).value).inc()

    def observe_progress(self, account: Account, waiting_entries: int) -> None:
        """Count what became of events since the last time; what is learned again after a step back counts once."""
        for outcome in _OUTCOMES:
            more = getattr(account, outcome) - getattr(self._known, outcome)
            self._events.labels(outcome).inc(max(more, 0))
        self._known = _furthest(self._known, account)
        self._acknowledged.set(account.acknowledged_ms / 1000)
        self._waiting.set(waiting_entries)

    def observe_dead_letter(self, reason: Reason) -> None:
        """Count one letter."""
        self._dead_letters.labels(reason.value).inc()

    def observe_times(self, times: Timeliness) -> None:
        """Count the late and the future events of a batch."""
        self._untimely.labels("late").inc(times.late)
        self._untimely.labels("future").inc(times.future)

    def observe_regressions(self, partitions: int) -> None:
        """Count partitions that are read anew."""
        self._regressions.inc(partitions)

    def observe_gap(self) -> None:
        """Count a partition with entries that nobody read."""
        self._gaps.inc()

    def observe_broken(self, partitions: int) -> None:
        """Show how many partitions cannot be read."""
        self._broken.set(partitions)

    def observe_disk(self, full: bool) -> None:
        """Show whether the trainer waits for space."""
        self._disk_full.set(full)

    def observe_checkpoint(self) -> None:
        """Note that a checkpoint was written now."""
        self._checkpoint.set(time.time())

    def observe_checkpoint_time(self, seconds: float) -> None:
        """Take in how long one took."""
        self._checkpoint_seconds.observe(seconds)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"winnow_trainer_{name}", meaning, registry=self.registry)

    def _histogram(self, name: str, meaning: str, bounds: Sequence[float]) -> Histogram:
        return Histogram(f"winnow_trainer_{name}", meaning, buckets=bounds, registry=self.registry)


def _furthest(known: Account, account: Account) -> Account:
    """Return an account with the larger of either's outcomes."""
    return Account(**{outcome: max(getattr(known, outcome), getattr(account, outcome)) for outcome in _OUTCOMES})


def _free_share(directory: Path) -> float:
    try:
        disk = shutil.disk_usage(directory)
    except OSError:
        return math.nan
    return disk.free / disk.total if disk.total else math.nan

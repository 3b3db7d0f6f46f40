"""Steps: deterministic, restorable, predicting before they learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from contract.errors import SetupError
from contract.events import Action, Events
from contract.hashing import id_keys
from models.backbones import BACKBONES
from models.inverse_gradient import Direction
from models.targets import TARGETS
from tests.trainer.conftest import some_events
from trainer.device import choose_device
from trainer.learner import Learner
from trainer.settings import LearnerSettings
from trainer.step_report import StepReport


def settings(**changes: object) -> LearnerSettings:
    return LearnerSettings.model_validate({"user_capacity": 300, "item_capacity": 300, "wait_events": 64, **changes})


def steps(learner: Learner, events: Events, size: int = 100) -> list[StepReport]:
    return [learner.step(events.take(slice(start, start + size))) for start in range(0, len(events), size)]


def weights(learner: Learner) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in learner.state().items()}


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_events_and_seed_give_bitwise_equal_weights(target: str) -> None:
    one, two = Learner(settings(target=target)), Learner(settings(target=target))
    steps(one, some_events(1_500))
    steps(two, some_events(1_500))
    assert weights(one) == weights(two)


@pytest.mark.parametrize(
    "changes",
    [
        *({"meta": meta} for meta in ("none", "ig", "ig-local", "l2rw", "ig-sequential", "coin-flip")),
        *({"backbone": backbone} for backbone in BACKBONES),
        *({"target": target} for target in ("idl-aligned", "random")),
    ],
    ids=str,
)
def test_a_restored_learner_goes_on_as_the_first_would_have(changes: dict[str, str]) -> None:
    events = some_events(1_200)
    first, second = Learner(settings(**changes)), Learner(settings(**changes))
    steps(first, events.take(slice(0, 600)))
    second.restore({name: array.copy() for name, array in first.state().items()})
    steps(first, events.take(slice(600, None)))
    steps(second, events.take(slice(600, None)))
    assert weights(first) == weights(second)


@pytest.mark.parametrize("target", TARGETS)
def test_an_event_is_scored_before_it_is_learned(target: str) -> None:
    """What was said of an event must not move its own score, nor an earlier one: say otherwise, and the scores stay."""
    events = some_events(800)
    said = np.where(np.arange(800) == 750, Action.LIKE.bit, events.actions)
    unsaid = np.where(np.arange(800) == 750, 0, events.actions)
    reports = [
        steps(Learner(settings(target=target)), Events(**{**vars(events), "actions": actions.astype(np.uint8)}))[-1]
        for actions in (said, unsaid)
    ]
    for column in ("logit", "score", "belief", "watch_logit", "dislike"):
        one, two = (getattr(report, column) for report in reports)
        np.testing.assert_array_equal(one[:51], two[:51])
    assert not np.array_equal(reports[0].logit[51:], reports[1].logit[51:])  # the next events of a batch do see it


def test_held_out_events_leave_no_trace_in_the_model() -> None:
    learner = Learner(settings(holdout_share=0.5))
    before = weights(learner)
    report = learner.step(some_events(1))
    while not report.held_out.all():
        learner = Learner(settings(holdout_share=0.5))
        report = learner.step(some_events(1, prefix=f"{report.events.event_id[0]}x"))
    after = weights(learner)
    ids = ("users.", "items.", "holdout.", "stepped", "evidence.histogram", "random", "model.user", "model.item")
    assert {name for name in after if after[name] != before.get(name) and not name.startswith(ids)} <= {
        "counts.users.counts", "counts.users.last", "counts.items.counts", "counts.items.last", "item_side",
        "adagrad.user", "adagrad.item", "adagrad.user_bias", "adagrad.item_bias",
    }  # fmt: skip
    assert not learner.counts.totals.any()
    assert not any(table.any() for table in learner.counts.tables.values())
    assert not learner.backbone.user_bias.any()


def test_inverse_gradient_decides_on_what_waits_and_acts_only_when_asked() -> None:
    logged = steps(Learner(settings(meta="none", meta_every=200, wait_events=400)), some_events(2_000))
    acted = steps(Learner(settings(meta="ig", wait_events=400)), some_events(2_000))
    decisions = [report.decision for report in logged if report.decision]
    assert len(decisions) >= 5
    assert {report.direction for report in logged} == {Direction.DIRECT}
    assert all(report.direction is report.decision.direction for report in acted if report.decision)
    assert all(np.isfinite(list(decision.losses.values())).all() for decision in decisions)


def test_an_id_that_returns_after_expiry_starts_anew() -> None:
    learner = Learner(settings(user_capacity=10))
    steps(learner, some_events(500))
    assert learner.users.known_ids <= 10
    assert all(torch.isfinite(table).all() for table in learner.snapshot().backbone.parameters())


def test_an_item_inherits_no_features_from_the_one_that_had_its_row() -> None:
    learner = Learner(settings(item_capacity=1, holdout_share=0.0))
    rich = some_events(1)
    for number, (item, author, tags) in enumerate([("v1", "a1", "39\x1f7"), ("v2", "", "")]):
        event = replace(
            rich,
            event_key=rich.event_key + np.uint64(number),
            item_key=id_keys([item]),
            author_id=np.array([author], object),
            tags=np.array([tags], object),
            duration_ms=np.array([0], np.int32),
        )
        learner.step(event)
        assert learner.items.rows(event.item_key).tolist() == [1]
        assert learner.item_side[1].any() == bool(author)


def test_asking_for_a_gpu_that_is_not_there_names_the_remedy() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SetupError, match="--device auto"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"

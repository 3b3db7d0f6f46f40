"""Steps: deterministic, restorable, predicting before they learn."""

import numpy as np
import pytest
import torch

from contract.errors import SetupError
from contract.events import Action, Events
from models.inverse_gradient import Direction
from tests.trainer.conftest import some_events
from trainer.learner import Learner, StepReport, choose_device
from trainer.settings import LearnerSettings


def settings(**changes: object) -> LearnerSettings:
    return LearnerSettings.model_validate({"user_capacity": 300, "item_capacity": 300, "wait_events": 64, **changes})


def steps(learner: Learner, events: Events, size: int = 100) -> list[StepReport]:
    return [learner.step(events.take(slice(start, start + size))) for start in range(0, len(events), size)]


def weights(learner: Learner) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in learner.state().items()}


@pytest.mark.parametrize("target", ["bce", "negative", "idl", "idl-aligned", "evidence"])
def test_the_same_events_and_seed_give_bitwise_equal_weights(target: str) -> None:
    one, two = Learner(settings(target=target)), Learner(settings(target=target))
    steps(one, some_events(1_500))
    steps(two, some_events(1_500))
    assert weights(one) == weights(two)


@pytest.mark.parametrize("meta", ["none", "ig"])
def test_a_restored_learner_goes_on_as_the_first_would_have(meta: str) -> None:
    events = some_events(1_200)
    first, second = Learner(settings(meta=meta)), Learner(settings(meta=meta))
    steps(first, events.take(slice(0, 600)))
    second.restore({name: array.copy() for name, array in first.state().items()})
    steps(first, events.take(slice(600, None)))
    steps(second, events.take(slice(600, None)))
    assert weights(first) == weights(second)


def test_a_batch_is_scored_before_it_is_learned() -> None:
    """Labels of a batch must not move its own scores: flip them, and the scores stay."""
    events = some_events(800)
    flipped = Events(**{**vars(events), "actions": np.where(np.arange(800) < 700, events.actions, Action.LIKE.bit)})
    reports = [steps(Learner(settings()), each)[-1] for each in (events, flipped)]
    np.testing.assert_array_equal(reports[0].logit, reports[1].logit)
    np.testing.assert_array_equal(reports[0].belief, reports[1].belief)


def test_held_out_events_leave_no_trace_in_the_model() -> None:
    learner = Learner(settings(holdout_share=0.5))
    before = {name: table.clone() for name, table in learner.snapshot().parameters.items()}
    report = learner.step(some_events(1))
    while not report.held_out.all():
        learner = Learner(settings(holdout_share=0.5))
        report = learner.step(some_events(1, prefix=f"{report.events.event_id[0]}x"))
    assert float(learner.snapshot().parameters["bias"]) == float(before["bias"])
    assert not learner.snapshot().parameters["user_bias"].any()


def test_inverse_gradient_decides_on_what_waits_and_acts_only_when_asked() -> None:
    logged = steps(Learner(settings(meta="none", meta_every=200)), some_events(2_000))
    acted = steps(Learner(settings(meta="ig")), some_events(2_000))
    decisions = [report.decision for report in logged if report.decision]
    assert len(decisions) >= 5
    assert {report.direction for report in logged} == {Direction.DIRECT}
    assert all(report.direction is report.decision.direction for report in acted if report.decision)
    assert all(np.isfinite(list(decision.losses.values())).all() for decision in decisions)


def test_an_id_that_returns_after_expiry_starts_anew() -> None:
    learner = Learner(settings(user_capacity=10))
    steps(learner, some_events(500))
    assert learner.users.known_ids <= 10
    assert all(torch.isfinite(table).all() for table in learner.snapshot().parameters.values())


def test_asking_for_a_gpu_that_is_not_there_names_the_remedy() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SetupError, match="--device auto"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"

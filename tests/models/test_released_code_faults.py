"""The faults of the authors' released code, one test each that would catch it here.

The equations are the paper's (arXiv 2311.08302); in these places the released code computes something else.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from contract.events import Events
from contract.hashing import id_keys
from models.backbone import Parameters
from models.fused_gmf import FusedGMFStep
from models.inverse_gradient import Direction, decide, judge
from models.row_adagrad import RowAdagrad
from models.step import AutogradStep, Step
from tests.models.small_gmf import UNLABELLED, Trial, pairs_of, small_gmf
from tests.trainer.conftest import some_events
from trainer.labels import POSITIVE
from trainer.labels import UNLABELLED as SILENT
from trainer.learner import Learner
from trainer.metrics_math import auc, gauc, ndcg_at_k
from trainer.progressive import Progressive
from trainer.replay import evaluate, play, user_days
from trainer.settings import LearnerSettings
from trainer.steering import Proposal
from trainer.step_report import StepReport
from trainer.waiting import Held

STEPS = [AutogradStep, FusedGMFStep]
StepType = type[AutogradStep] | type[FusedGMFStep]


def settings(**changes: object) -> LearnerSettings:
    small = {"user_capacity": 2_000, "item_capacity": 300, "wait_events": 300, "batch_events": 100}
    return LearnerSettings.model_validate({**small, **changes})


def begun(step_type: StepType, seed: int = 0) -> tuple[Step, Parameters]:
    """Return a step of six pairs, and its gradients for one slope a pair."""
    backbone = small_gmf(seed, torch.float32)
    step: Step = step_type(backbone, RowAdagrad(backbone), pairs_of([1, 2, 3, 1, 2, 3], [1, 2, 3, 4, 5, 6]))
    return step, step.gradients(torch.full((6, 2), 0.3))


@pytest.mark.parametrize("step_type", STEPS)
def test_gradients_of_trial_models_do_not_add_up(step_type: StepType) -> None:
    """Released: the trial models' gradients are never zeroed, so each trial carries those of all before it."""
    step, gradients = begun(step_type)
    decisions = [judge(step.parameters, gradients, lambda p: step.logits(p).square().sum(), 0.1) for _ in range(3)]
    assert decisions[0] == decisions[1] == decisions[2]
    again = step.gradients(torch.full((6, 2), 0.3))
    for name, part in gradients.items():
        torch.testing.assert_close(again[name], part, rtol=0, atol=0)
        assert step.parameters[name].grad is None


def test_all_three_trials_start_at_the_same_theta() -> None:
    """Released: a trial model goes on from where the last trial left it."""
    trial = Trial.drawn(0)
    gradients = trial.step.gradients(trial.padded(np.full(UNLABELLED, 0.1)))
    seen: list[Parameters] = []
    before = {name: part.detach().clone() for name, part in trial.step.parameters.items()}

    def remembering(parameters: Parameters) -> torch.Tensor:
        seen.append(parameters)
        return trial.held_out_loss(parameters)

    judge(trial.step.parameters, gradients, remembering, 0.1)
    assert len(seen) == 3
    for name, part in before.items():
        direct, keep, inverse = (parameters[name] for parameters in seen)
        torch.testing.assert_close(keep, part, rtol=0, atol=0)
        torch.testing.assert_close((direct + inverse) / 2, part)
        torch.testing.assert_close(trial.step.parameters[name].detach(), part, rtol=0, atol=0)


@pytest.mark.parametrize("step_type", STEPS)
def test_a_training_step_does_not_carry_the_gradient_of_the_step_before(step_type: StepType) -> None:
    """Released: no zero_grad while warming up; validation loss rises from 73.7 to 177."""
    backbone = small_gmf(0, torch.float32)
    optimizer = RowAdagrad(backbone, l2=0.0)
    for user, upstream in (([1, 2], 0.5), ([1, 3], 0.0)):  # user 1 comes again, and has nothing to learn
        step: Step = step_type(backbone, optimizer, pairs_of(user, [1, 2]))
        before = {name: part.detach().clone() for name, part in backbone.named_parameters()}
        step.apply(step.gradients(torch.full((2, 2), upstream)))
        moved = {name: not torch.equal(before[name], part) for name, part in backbone.named_parameters()}
        assert moved["user"] is moved["item"] is moved["head"] is moved["user_bias"] is (upstream != 0.0)


def test_a_trial_step_is_a_gradient_step_unless_a_sign_step_is_asked_for() -> None:
    """Released: Adam is made anew for each trial, and the first step of Adam is rate * sign(g), whatever g is."""
    theta, rate = {"x": torch.zeros(2)}, 0.1

    def moved(gradient: float, inner: str) -> float:
        given = {"x": torch.tensor([gradient, 0.0])}
        found = judge(theta, given, lambda p: p["x"][0], rate, "sign" if inner == "sign" else "sgd")
        return found.losses[Direction.INVERSE] - found.losses[Direction.KEEP]

    assert [moved(g, "sgd") for g in (0.2, 0.4, -0.4)] == pytest.approx([0.02, 0.04, -0.04])
    assert [moved(g, "sign") for g in (0.2, 0.4, -0.4)] == pytest.approx([0.1, 0.1, -0.1])


@pytest.mark.parametrize("step_type", STEPS)
def test_the_optimizer_that_trains_remembers_what_it_has_seen(step_type: StepType) -> None:
    """Released: the optimizer is made anew, so that a row seen often moves as far as one seen once."""
    backbone, moves = small_gmf(0, torch.float32), list[float]()
    optimizer = RowAdagrad(backbone, l2=0.0)
    for _ in range(4):
        step: Step = step_type(backbone, optimizer, pairs_of([1], [1]))
        before = backbone.user_bias.detach()[1].clone()
        step.apply(step.gradients(torch.full((1, 2), 0.5)))
        moves.append(float((before - backbone.user_bias.detach()[1]).norm()))
    assert moves[0] > moves[1] > moves[2] > moves[3]


@pytest.mark.parametrize("meta", ["ig", "ig-local", "l2rw", "ig-sequential"])
def test_who_judges_has_not_been_trained_on_and_is_not_in_that_step(meta: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Released: trains on the batch that judges. Here each event has its own user, whose bias is 0 until trained."""
    events = some_events(2_000)
    events = replace(events, user_key=id_keys([f"once{n}" for n in range(len(events))]))
    learner, judged, benches = Learner(settings(meta=meta)), set[int](), list[Held]()
    steer = learner.steering.steer

    def watched(step: Step, proposal: Proposal, judges: Held) -> Proposal:
        benches.append(judges)
        assert not biases(learner, judges.user_key).any()
        return steer(step, proposal, judges)

    monkeypatch.setattr(learner.steering, "steer", watched)
    explicit = list[int]()
    for start in range(0, 2_000, 100):
        report = learner.step(events.take(slice(start, start + 100)))
        judged |= set(benches[-1].user_key.tolist())
        assert not biases(learner, benches[-1].user_key).any()
        if start < 1_500:
            explicit += report.events.user_key[(report.label != SILENT) & ~report.held_out].tolist()
    assert set(explicit) <= judged
    assert biases(learner, np.array(explicit, np.uint64)).all()  # trained on in the end


def biases(learner: Learner, user_key: npt.NDArray[np.uint64]) -> npt.NDArray[np.float32]:
    rows = torch.from_numpy(learner.users.rows(user_key).astype(np.int64))
    return np.asarray(learner.backbone.user_bias.detach()[rows].abs().amax(1).numpy())


def steps(learner: Learner, events: Events, size: int = 100) -> list[StepReport]:
    return [learner.step(events.take(slice(start, start + size))) for start in range(0, len(events), size)]


def test_metrics_are_of_scores_against_labels_and_not_of_labels_against_labels() -> None:
    """Released: MRR is computed without predictions, and comes out the same for every model."""
    rng = np.random.default_rng(0)
    label, user, score = rng.random(600) < 0.2, rng.integers(0, 40, 600), rng.normal(size=600)

    def figures(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        found = [auc(scores, label), gauc(scores, label, user).value, ndcg_at_k(scores, label, user).value]
        return np.array(found)

    assert figures(label.astype(np.float64)) == pytest.approx(1.0)
    assert (figures(score) < 0.9).all()
    assert (figures(score) != figures(-score)).all()


def test_progressive_figures_follow_the_scores_of_the_reports() -> None:
    """The same, of what the trainer reports: turn the logits round, and so does the AUC."""
    learner, as_scored, turned = Learner(settings()), Progressive(), Progressive()
    for report in steps(learner, some_events(3_000)):
        as_scored.add(report, learner)
        turned.add(replace(report, logit=-report.logit), learner)
    quality = as_scored.quality()
    assert 0.55 < quality.auc < 0.999
    assert turned.quality().auc == pytest.approx(1.0 - quality.auc, abs=1e-3)
    assert turned.quality().window_auc == pytest.approx(1.0 - quality.window_auc)


def test_ndcg_has_one_cutoff_in_every_half_of_the_evaluation() -> None:
    """Released: NDCG@10 in one half of the run and @20 in the other, under one name."""
    events, ticks = some_events(1_500), list[int]()
    found = evaluate(events, np.full(1_500, -1, np.int8), settings(), 0, ticks.append)
    days = user_days(events)
    played = play(events, settings(), days, ticks.append)
    at = {k: ndcg_at_k(played.slate_logit, played.positive, days, k) for k in (10, 20)}
    assert found.ndcg_at_10 == at[10].value != at[20].value
    halves = [
        ndcg_at_k(played.slate_logit[half], played.positive[half], days[half], 10)
        for half in (days < days.max() // 2, days >= days.max() // 2)
    ]
    whole = sum(half.value * half.weight for half in halves) / sum(half.weight for half in halves)
    assert found.ndcg_at_10 == pytest.approx(whole)


def test_a_positive_in_the_fifteenth_place_counts_in_no_half() -> None:
    slate, label = np.repeat([0, 1], 20), np.tile(np.arange(20) == 14, 2)
    score = np.tile(-np.arange(20.0), 2)
    assert ndcg_at_k(score, label, slate).value == 0.0
    assert ndcg_at_k(score, label, slate, k=20).value > 0.0


@pytest.mark.parametrize(("direct", "inverse"), [(0.2, 0.2), (0.2, 0.3), (0.3, 0.2)])
def test_ties_keep_theta(direct: float, inverse: float) -> None:
    """Released: the comparison prefers a step where it changes nothing."""
    losses = {Direction.DIRECT: direct, Direction.KEEP: 0.2, Direction.INVERSE: inverse}
    assert decide(losses).direction is Direction.KEEP


def test_a_second_epoch_decides_as_the_first_one_did() -> None:
    """Released: from the second epoch on, a tuple is compared with a tensor. Here a loss is always one number."""
    learner = Learner(settings(meta="ig"))
    epochs = [steps(learner, some_events(1_000, prefix=prefix)) for prefix in ("first", "second")]
    for reports in epochs:
        decisions = [report.decision for report in reports if report.decision]
        assert len(decisions) >= 8
        for decision in decisions:
            assert all(isinstance(value, float) and np.isfinite(value) for value in decision.losses.values())
            assert decision == decide(decision.losses)
    assert any((report.label == POSITIVE).any() for report in epochs[1])

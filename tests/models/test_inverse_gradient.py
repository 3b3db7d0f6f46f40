"""Inverse Gradient against a plain float64 statement of the paper's test: values, gradients and the choice."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.backbone import EXPLICIT
from models.inverse_gradient import STEP_SIGN, Decision, Direction, Inner, decide, judge, propose
from models.targets import inverse_dual
from tests.golden import reference
from tests.models.small_gmf import UNLABELLED, Trial

losses = st.floats(0, 10) | st.sampled_from([0.1, 0.2])


def judged(trial: Trial, rate: float, inner: Inner) -> Decision:
    """IG on a batch trained by IDL, as the learner does it: closed-form slopes carried back, then three trials."""
    y = trial.step.logits()[:UNLABELLED, EXPLICIT]
    slopes = (torch.sigmoid(y) - inverse_dual(y)).numpy() / UNLABELLED
    gradients = trial.step.gradients(trial.padded(slopes))
    return judge(trial.step.parameters, gradients, trial.held_out_loss, rate, inner)


@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_of_the_unlabelled_batch_is_that_of_the_published_loss(seed: int) -> None:
    trial = Trial.drawn(seed)
    y = trial.step.logits()[:UNLABELLED, EXPLICIT]
    slopes = (torch.sigmoid(y) - inverse_dual(y)).numpy() / UNLABELLED
    gradients = trial.step.gradients(trial.padded(slopes))
    for name, expected in reference.idl_mean_gradient(trial.theta, trial.unlabelled).items():
        np.testing.assert_allclose(gradients[name].numpy(), expected, rtol=0, atol=1e-6, err_msg=name)


def test_the_statement_of_that_gradient_is_the_slope_of_the_statement_of_that_loss() -> None:
    """The reference against itself, by central differences with the weights held where they are."""
    trial = Trial.drawn(0)
    theta, pairs = trial.theta, trial.unlabelled
    held = reference.idl_weight(reference.gmf_logits(theta, pairs))
    gradient = reference.idl_mean_gradient(theta, pairs)
    for name in theta:
        for place in list(np.ndindex(theta[name].shape))[::5]:
            ends = []
            for nudge in (1e-6, -1e-6):
                moved = {n: table.copy() for n, table in theta.items()}
                moved[name][place] += nudge
                ends.append(reference.cross_entropy(reference.gmf_logits(moved, pairs), held).mean())
            assert gradient[name][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


@pytest.mark.parametrize(("inner", "rate"), [("sgd", 0.05), ("sgd", 20.0), ("sign", 0.05), ("sign", 2.0)])
@pytest.mark.parametrize("seed", range(6))
def test_the_three_losses_and_the_choice_are_the_published_ones(seed: int, inner: Inner, rate: float) -> None:
    trial = Trial.drawn(seed)
    gradient = reference.idl_mean_gradient(trial.theta, trial.unlabelled)
    chosen, expected = reference.inverse_gradient(trial.theta, gradient, trial.judges, rate, inner == "sign")
    decision = judged(trial, rate, inner)
    for direction, c in STEP_SIGN.items():
        assert decision.losses[direction] == pytest.approx(expected[int(c)], abs=1e-6)
    assert STEP_SIGN[decision.direction] == chosen


def test_every_direction_is_chosen_somewhere() -> None:
    """Else the comparison above says little."""
    found = Counter(judged(Trial.drawn(seed), rate, "sgd").direction for seed in range(6) for rate in (0.05, 20.0))
    assert set(found) == set(Direction)


@given(losses, losses, losses)
def test_the_least_loss_wins_and_ties_keep_theta(direct: float, keep: float, inverse: float) -> None:
    decision = decide({Direction.DIRECT: direct, Direction.KEEP: keep, Direction.INVERSE: inverse})
    assert decision.losses[decision.direction] == min(direct, keep, inverse)
    assert (decision.direction is Direction.KEEP) == (keep <= min(direct, inverse))


def test_a_loss_that_is_not_a_number_never_wins() -> None:
    nan = float("nan")
    assert decide({Direction.DIRECT: nan, Direction.KEEP: 1.0, Direction.INVERSE: nan}).direction is Direction.KEEP


@pytest.mark.parametrize("inner", ["sgd", "sign"])
def test_a_trial_is_theta_plus_the_step_in_new_tensors(inner: Inner) -> None:
    theta = {"x": torch.tensor([1.0, 2.0, 3.0], requires_grad=True)}
    gradient = {"x": torch.tensor([0.5, 0.0, -4.0])}
    step = torch.tensor([1.0, 0.0, -1.0]) if inner == "sign" else gradient["x"]
    for direction, sign in STEP_SIGN.items():
        trial = propose(theta, gradient, 0.1, sign, inner)["x"]
        torch.testing.assert_close(trial, theta["x"].detach() + sign * 0.1 * step, msg=str(direction))
        assert not trial.requires_grad
    assert theta["x"].tolist() == [1.0, 2.0, 3.0]


def test_a_batch_without_a_gradient_keeps_theta() -> None:
    trial = Trial.drawn(1)
    nothing = trial.step.gradients(trial.padded(np.zeros(UNLABELLED)))
    decision = judge(trial.step.parameters, nothing, trial.held_out_loss, 1.0)
    assert decision.direction is Direction.KEEP
    assert len(set(decision.losses.values())) == 1


def test_who_judges_decides() -> None:
    """The same batch and step under judges who say the opposite is judged the other way round."""
    trial = Trial.drawn(2)
    opposed = replace(trial, said=1.0 - trial.said)
    assert {judged(trial, 0.01, "sgd").direction, judged(opposed, 0.01, "sgd").direction} == {
        Direction.DIRECT,
        Direction.INVERSE,
    }

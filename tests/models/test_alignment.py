"""Alignment against autograd, example by example, and against the paper's decision."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.alignment import LOCAL_SPACES, alignments, group_means, local_signs, reweighted
from models.backbone import EXPLICIT, Parameters
from models.fused_gmf import FusedGMFStep
from models.gmf import GMF
from models.inverse_gradient import Direction, judge
from models.row_adagrad import RowAdagrad
from models.step import AutogradStep, Step
from tests.models.small_gmf import UNLABELLED, Trial, pairs_of, small_gmf

Floats = npt.NDArray[np.float64]

values = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=40)


def slopes(trial: Trial) -> tuple[Floats, Floats]:
    """Return each example's own slope toward a target of .3, and those of the judges' mean loss. [B], [J]."""
    p = torch.sigmoid(trial.step.logits()[:, EXPLICIT]).numpy()
    judging = trial.weight * (p[UNLABELLED:] - trial.said) / trial.weight.sum()
    return p[:UNLABELLED] - 0.3, judging


def local(gradients: Parameters) -> Parameters:
    return {name: part for name, part in gradients.items() if GMF.spaces.get(name) in LOCAL_SPACES}


@pytest.mark.parametrize("seed", range(4))
def test_an_alignment_is_the_product_of_the_judges_gradient_and_the_examples_own(seed: int) -> None:
    trial = Trial.drawn(seed)
    own, judging = slopes(trial)
    upstream, judge_upstream = trial.padded(own), trial.padded(judging, UNLABELLED)
    found = alignments(trial.step, GMF.spaces, judge_upstream, upstream)

    parameters = trial.step.parameters
    held_out = local(_gradients(trial.held_out_loss_with_gradient(), parameters))
    logit = trial.logits_with_gradient()[:, EXPLICIT]
    expected = np.zeros(len(trial.pairs))
    for place in range(UNLABELLED):
        example = local(_gradients(own[place] * logit[place], parameters))
        expected[place] = sum(float((held_out[name] * example[name]).sum()) for name in held_out)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def _gradients(total: torch.Tensor, parameters: Parameters) -> Parameters:
    found = torch.autograd.grad(total, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(whole) if part is None else part
        for (name, whole), part in zip(parameters.items(), found, strict=True)
    }


@pytest.mark.parametrize("seed", range(20))
def test_the_sign_of_the_sum_is_the_papers_decision_for_small_rates(seed: int) -> None:
    trial = Trial.drawn(seed)
    own, judging = slopes(trial)
    upstream = trial.padded(own)
    total = alignments(trial.step, GMF.spaces, trial.padded(judging, UNLABELLED), upstream).sum()
    whole = trial.step.gradients(upstream)
    parts = {name: part if name in local(whole) else torch.zeros_like(part) for name, part in whole.items()}
    decision = judge(trial.step.parameters, parts, trial.held_out_loss, rate=1e-6)
    assert decision.direction is (Direction.DIRECT if total > 0 else Direction.INVERSE)
    change = decision.losses[Direction.INVERSE] - decision.losses[Direction.DIRECT]
    assert change / 2e-6 == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize("step_type", [AutogradStep, FusedGMFStep])
def test_examples_that_share_no_row_with_a_judge_are_not_aligned_with_any(
    step_type: type[AutogradStep] | type[FusedGMFStep],
) -> None:
    """They do share the head, and a side feature: what all share must not speak."""
    backbone = small_gmf(0, torch.float32)
    batch = pairs_of([1, 2, 1, 3], [1, 2, 3, 4])
    batch.side[:, 0] = 5
    step: Step = step_type(backbone, RowAdagrad(backbone), batch)
    judging, own = torch.zeros(4, 2), torch.zeros(4, 2)
    judging[3, EXPLICIT], own[:3, EXPLICIT] = 0.7, 0.5
    assert alignments(step, GMF.spaces, judging, own).tolist() == [0.0] * 4
    judging[2, EXPLICIT] = 0.7  # now user 1 judges as well
    assert [found != 0 for found in alignments(step, GMF.spaces, judging, own)] == [True, False, True, False]


@given(values, st.integers(1, 5))
def test_a_groups_sign_is_that_of_its_sum(alignment: list[float], groups: int) -> None:
    a, group = np.array(alignment), np.arange(len(alignment)) % groups
    signs = local_signs(a, group)
    for g in range(groups):
        total = 0.0
        for each in a[group == g]:
            total += each
        assert (signs[group == g] == np.sign(total)).all()


@given(values)
def test_reweighted_examples_weigh_as_much_as_they_agree_and_one_on_average(alignment: list[float]) -> None:
    a = np.array(alignment)
    weight = reweighted(a)
    assert (weight >= 0).all()
    assert not weight[a <= 0].any()
    assert weight.mean() == pytest.approx(1.0 if (a > 0).any() else 0.0)
    np.testing.assert_allclose(reweighted(3.0 * a), weight)


@given(values, st.integers(1, 6))
def test_a_groups_mean_lies_between_all_against_and_all_for(alignment: list[float], groups: int) -> None:
    a, group = np.array(alignment), np.arange(len(alignment)) % groups
    found = group_means(a, group, groups + 1)
    assert np.isnan(found[groups])  # a group without any
    for g in range(groups):
        part = a[group == g]
        if part.any():
            assert found[g] == pytest.approx(part.sum() / np.abs(part).sum(), abs=1e-12)
            assert -1 - 1e-12 <= found[g] <= 1 + 1e-12
        else:
            assert np.isnan(found[g])


def test_no_examples_are_no_trouble() -> None:
    none, nowhere = np.zeros(0), np.zeros(0, np.int64)
    assert (len(local_signs(none, nowhere)), len(reweighted(none))) == (0, 0)
    assert np.isnan(group_means(none, nowhere, 2)).all()

"""Targets against the equations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.targets import (
    TARGETS,
    UNSAID,
    AlignedIDL,
    Examples,
    aligning_offset,
    belief_share,
    inverse_dual,
    loss,
    make_target,
)
from tests.golden import reference

LOGITS = np.linspace(-7.9, 7.9, 200)
finite = st.floats(-50, 50)


def examples(logit: np.ndarray, explicit: list[float], belief: float = 0.3, share: float = 0.0) -> Examples:
    y = torch.tensor(logit, dtype=torch.float64)
    return Examples(y, torch.tensor(explicit, dtype=torch.float64), torch.full_like(y, belief), 0.1, share)


def test_inverse_dual_is_the_published_ratio_of_losses() -> None:
    ours = inverse_dual(torch.tensor(LOGITS)).numpy()
    np.testing.assert_allclose(ours, reference.idl_weight(LOGITS), atol=1e-12)


def test_the_dual_loss_and_its_gradient_are_the_published_ones() -> None:
    y = torch.tensor(LOGITS, requires_grad=True)
    total = loss(y, inverse_dual(y), torch.ones_like(y))
    (gradient,) = torch.autograd.grad(total, y)
    assert float(total.detach()) == pytest.approx(reference.idl_loss(LOGITS), rel=1e-9)
    np.testing.assert_allclose(gradient.numpy(), reference.idl_gradient(LOGITS), atol=1e-9)


@given(finite)
def test_the_two_sides_swap_when_the_logit_changes_sign(y: float) -> None:
    both = inverse_dual(torch.tensor([y, -y], dtype=torch.float64))
    assert float(both.sum()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_inverse_dual_is_finite_at_any_logit_and_precision(dtype: torch.dtype) -> None:
    w = inverse_dual(torch.tensor([-1e4, -20, -9, 0, 9, 20, 1e4], dtype=dtype))
    assert torch.isfinite(w).all()


@given(st.lists(st.floats(-6, 6), min_size=2, max_size=50), st.floats(0.01, 0.9))
def test_the_aligning_offset_makes_the_mean_target_the_prior(logits: list[float], prior: float) -> None:
    y = torch.tensor(logits, dtype=torch.float64)
    offset = aligning_offset(y, prior)
    assert float(inverse_dual(y + offset).mean()) == pytest.approx(prior, abs=2e-3)


def test_every_target_takes_what_was_said_as_it_was_said() -> None:
    for name in TARGETS:
        w, weight = make_target(name)(examples(np.zeros(3), [1.0, 0.0, UNSAID]))
        assert w[:2].tolist() == [1.0, 0.0], name
        assert weight[:2].tolist() == [1.0, 1.0], name


@pytest.mark.parametrize(("name", "w", "weight"), [("bce", None, 0.0), ("negative", 0.0, 1.0), ("idl", 0.5, 1.0)])
def test_what_a_target_makes_of_silence(name: str, w: float | None, weight: float) -> None:
    got, used = make_target(name)(examples(np.zeros(1), [UNSAID]))
    assert float(used[0]) == weight
    if w is not None:
        assert float(got[0]) == pytest.approx(w)


def test_evidence_mixes_belief_in_but_never_against_an_explicit_negative() -> None:
    w, _ = make_target("evidence")(examples(np.zeros(3), [1.0, 0.0, UNSAID], belief=0.5, share=0.3))
    assert w.tolist() == pytest.approx([0.7 + 0.15, 0.0, 0.15])


@pytest.mark.parametrize(("rate", "share"), [(0.02, 0.0), (0.005, 0.0), (0.0035, 0.15), (0.002, 0.3), (0.0001, 0.3)])
def test_belief_counts_only_where_explicit_feedback_is_scarce(rate: float, share: float) -> None:
    assert belief_share(rate) == pytest.approx(share)


def test_aligned_idl_does_not_collapse_where_idl_does() -> None:
    free, aligned, target = torch.full((500,), -1.0).double(), torch.full((500,), -1.0).double(), AlignedIDL()
    spread = torch.linspace(-0.5, 0.5, 500).double()
    free, aligned = free + spread, aligned + spread
    for _ in range(300):
        silence = torch.full((500,), UNSAID).double()
        w, _ = target(Examples(aligned, silence, silence, 0.3, 0.0))
        free = free - 0.5 * (torch.sigmoid(free) - inverse_dual(free))
        aligned = aligned - 0.5 * (torch.sigmoid(aligned) - w)
    assert float(torch.sigmoid(free).mean()) < 0.1  # drifted to the majority
    assert float(torch.sigmoid(aligned).mean()) == pytest.approx(0.3, abs=0.05)

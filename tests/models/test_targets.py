"""Targets against the equations."""

from dataclasses import replace
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tests.strategies  # noqa: F401  registers the profile
from contract.events import Action
from models import targets
from models.targets import (
    TARGETS,
    UNSAID,
    AlignedIDL,
    Examples,
    absence_share,
    aligning_offset,
    belief_share,
    inverse_dual,
    loss,
    make_target,
    noisy_label,
    one_sidedness,
)
from tests.golden import reference
from tests.trainer.conftest import some_events
from trainer.labels import UNLABELLED
from trainer.learner import Learner
from trainer.settings import LearnerSettings

Floats = npt.NDArray[np.float64]

LOGITS = np.linspace(-30, 30, 601)
NAN = float("nan")
explicits = st.sampled_from([1.0, 0.0, UNSAID])
quantiles = st.floats(0, 1) | st.just(NAN)
rows = st.lists(st.tuples(st.floats(-12, 12), explicits, quantiles), min_size=1, max_size=60)
wild_rows = st.lists(
    st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), explicits, quantiles, st.floats(0, 1)),
    min_size=1,
    max_size=40,
)
shares = st.floats(0, 1)


def examples(
    logit: Floats | list[float],
    explicit: Floats | list[float] | None = None,
    quantile: list[float] | None = None,
    belief: list[float] | float = 0.3,
    told: list[float] | float = 1.0,
    prior: float = 0.1,
    belief_share: float = 0.0,
    absence_share: float = 1.0,
    seen: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Examples:
    """Nothing was said or watched unless given."""

    def column(values: Floats | list[float] | float) -> torch.Tensor:
        return torch.tensor(np.broadcast_to(values, len(logit)).copy(), dtype=dtype)

    said = UNSAID if explicit is None else explicit
    watched = NAN if quantile is None else quantile
    return Examples(
        column(logit), column(said), column(watched), column(belief), column(told),
        prior, belief_share, absence_share, seen,
    )  # fmt: skip


def of_rows(drawn: list[tuple[float, float, float]], prior: float = 0.1, seen: int = 0) -> Examples:
    logit, explicit, quantile = (list(column) for column in zip(*drawn, strict=True))
    return examples(logit, explicit, quantile, prior=prior, seen=seen)


def gradient_of(made: Examples, w: torch.Tensor, weight: torch.Tensor) -> Floats:
    """By autograd through the loss."""
    y = made.logit.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(y, w, weight), y)
    return np.asarray(gradient.numpy(), np.float64)


def test_idl_equals_the_published_equations_in_value_and_gradient() -> None:
    made = examples(LOGITS)
    w, weight = make_target("idl")(made)
    np.testing.assert_allclose(w.numpy(), reference.idl_weight(LOGITS), rtol=0, atol=1e-6)
    each = torch.stack([loss(y[None], a[None], v[None]) for y, a, v in zip(made.logit, w, weight, strict=True)])
    np.testing.assert_allclose(each.numpy(), reference.idl_loss(LOGITS), rtol=0, atol=1e-6)
    np.testing.assert_allclose(gradient_of(made, w, weight), reference.idl_gradient(LOGITS), rtol=0, atol=1e-6)


def test_idl_in_single_precision_is_as_near_the_published_equations() -> None:
    y = LOGITS.astype(np.float32)
    w = inverse_dual(torch.tensor(y)).numpy()
    np.testing.assert_allclose(w, reference.idl_weight(y.astype(np.float64)), rtol=0, atol=1e-6)


def test_idl_trains_what_was_said_by_plain_cross_entropy() -> None:
    y, said = np.array([-2.0, 0.5, 3.0]), np.array([1.0, 0.0, 1.0])
    made = examples(y, said)
    w, weight = make_target("idl")(made)
    np.testing.assert_allclose(gradient_of(made, w, weight), reference.probability(y) - said, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_inverse_dual_is_finite_at_any_logit_and_precision(dtype: torch.dtype) -> None:
    w = inverse_dual(torch.tensor([-1e4, -20, -9, 0, 9, 20, 1e4], dtype=dtype))
    assert torch.isfinite(w).all()


@given(st.floats(-1e6, 1e6))
def test_dual_weights_sum_to_one_and_swap_when_the_logit_changes_sign(y: float) -> None:
    w = inverse_dual(torch.tensor([y, -y], dtype=torch.float64))
    w_minus = 1.0 - w
    torch.testing.assert_close(w, w_minus.flip(0), atol=1e-12, rtol=0)
    assert float(w.sum()) == pytest.approx(1.0, abs=1e-12)


def test_no_gradient_flows_through_the_dual_weights() -> None:
    assert not inverse_dual(torch.zeros(3, requires_grad=True)).requires_grad


@given(st.lists(st.floats(-6, 6), min_size=2, max_size=50), st.floats(0.01, 0.9))
def test_the_mean_of_aligned_idl_is_the_prior(logits: list[float], prior: float) -> None:
    target = AlignedIDL(smoothing=0.0)
    w, weight = target(examples(logits, prior=prior))
    assert float(w.mean()) == pytest.approx(prior, abs=5e-4)
    np.testing.assert_allclose(w.numpy(), reference.idl_weight(np.array(logits) + target.offset), atol=1e-6)
    assert weight.tolist() == [1.0] * len(logits)


def test_the_offset_is_smoothed_over_batches_and_kept_where_everything_was_said() -> None:
    target, silence = AlignedIDL(smoothing=0.9, offset=1.0), examples([-1.0, 0.0, 2.0], prior=0.2)
    target(silence)
    assert target.offset == pytest.approx(0.9 + 0.1 * aligning_offset(silence.logit, 0.2))
    before = target.offset
    target(examples([0.3], [1.0]))
    assert target.offset == before


@given(wild_rows, st.floats(0, 1), shares, shares, st.integers(0, 100_000))
def test_every_target_is_finite_and_weighs_nothing_below_zero(
    drawn: list[tuple[float, float, float, float]], prior: float, belief: float, absence: float, seen: int
) -> None:
    logit, explicit, quantile, believed = (list(column) for column in zip(*drawn, strict=True))
    made = examples(logit, explicit, quantile, believed, 1.0, prior, belief, absence, seen, torch.float32)
    for name in TARGETS:
        w, weight = make_target(name)(made)
        assert w.shape == weight.shape == made.logit.shape
        assert torch.isfinite(w).all(), name
        assert torch.isfinite(weight).all(), name
        assert (weight >= 0).all(), name


@pytest.mark.parametrize("name", sorted({*TARGETS} - {"nnpu"}))
def test_every_target_takes_what_was_said_as_it_was_said(name: str) -> None:
    w, weight = make_target(name)(examples([0.0] * 3, [1.0, 0.0, UNSAID]))
    assert (w[:2].tolist(), weight[:2].tolist()) == ([1.0, 0.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "watched", "unwatched"),
    [
        ("bce", (0.0, 0.0), (0.0, 0.0)),
        ("random", (0.0, 0.0), (0.0, 0.0)),
        ("negative", (0.0, 1.0), (0.0, 1.0)),
        ("positive", (1.0, 1.0), (1.0, 1.0)),
        ("watch", (0.8, 1.0), (0.0, 0.0)),
        ("tce", (1.0, 1.0), (1.0, 1.0)),
        ("idl", (0.5, 1.0), (0.5, 1.0)),
    ],
)
def test_what_a_target_makes_of_silence(
    name: str, watched: tuple[float, float], unwatched: tuple[float, float]
) -> None:
    w, weight = make_target(name)(examples([0.0, 0.0], quantile=[0.8, NAN]))
    found = list(zip((w * (weight > 0)).tolist(), weight.tolist(), strict=True))
    assert found == [pytest.approx(watched), pytest.approx(unwatched)]


def test_the_settings_offer_the_targets_that_there_are() -> None:
    assert set(get_args(LearnerSettings.model_fields["target"].annotation)) == set(TARGETS)


def test_the_noisy_label_is_a_watch_in_the_upper_half_unless_something_was_said() -> None:
    made = examples([0.0] * 5, [UNSAID, UNSAID, UNSAID, 1.0, 0.0], [0.49, 0.5, NAN, 0.1, 0.9])
    assert noisy_label(made).tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


@given(rows)
def test_tce_with_drop_rate_0_is_plain_cross_entropy_on_the_noisy_label(
    drawn: list[tuple[float, float, float]],
) -> None:
    made = of_rows(drawn, seen=0)
    w, weight = make_target("tce")(made)
    assert torch.equal(w, noisy_label(made))
    expected = reference.cross_entropy(made.logit.numpy(), noisy_label(made).numpy()).sum()
    assert float(loss(made.logit, w, weight)) == pytest.approx(expected)


@given(st.integers(1, 80), st.integers(0, 200_000), st.integers(0, 9_999))
def test_tce_leaves_out_the_noisy_positives_with_the_largest_loss(count: int, seen: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, explicit = rng.normal(size=count), rng.choice([1.0, 0.0, UNSAID], count, p=[0.1, 0.1, 0.8])
    made = examples(y, explicit, rng.random(count).tolist(), seen=seen)
    _, weight = make_target("tce")(made)
    noisy = np.flatnonzero((noisy_label(made).numpy() == 1.0) & (explicit == UNSAID))
    dropped = int(0.1 * min(1.0, seen / 30_000) * len(noisy))
    largest = noisy[np.argsort(-reference.cross_entropy(y[noisy], np.ones(len(noisy))))][:dropped]
    assert np.flatnonzero(weight.numpy() == 0.0).tolist() == sorted(largest)


def test_rce_weighs_a_noisy_label_by_how_far_the_model_agrees() -> None:
    y = np.array([-1.0, -1.0, 2.0, 2.0])
    w, weight = make_target("rce")(examples(y, [UNSAID, UNSAID, UNSAID, 0.0], [0.9, 0.1, 0.9, 0.9]))
    p = reference.probability(y)
    assert w.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert weight.tolist() == pytest.approx([p[0] ** 0.25, (1 - p[1]) ** 0.25, p[2] ** 0.25, 1.0])


@given(rows)
def test_rce_with_power_0_is_plain_cross_entropy_on_the_noisy_label(drawn: list[tuple[float, float, float]]) -> None:
    made = of_rows(drawn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "REWEIGHT_POWER", 0.0)
        w, weight = make_target("rce")(made)
    assert torch.equal(w, noisy_label(made))
    assert weight.tolist() == [1.0] * len(drawn)


@given(rows, st.floats(0.01, 0.9))
def test_the_gradient_of_nnpu_is_that_of_kiryos_algorithm(
    drawn: list[tuple[float, float, float]], prior: float
) -> None:
    made = of_rows(drawn, prior)
    expected = reference.nnpu_slopes(made.logit.numpy(), made.explicit.numpy(), prior)
    np.testing.assert_allclose(gradient_of(made, *make_target("nnpu")(made)), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("unlabelled", "sign"), [(2.0, 1.0), (-6.0, -1.0)])
def test_nnpu_reverses_its_gradient_where_the_negative_risk_falls_below_zero(unlabelled: float, sign: float) -> None:
    """A positive of logit 3 explains more negative risk than the unlabelled have, once theirs is small."""
    made = examples([3.0, unlabelled], [1.0, UNSAID], prior=0.5)
    slopes = gradient_of(made, *make_target("nnpu")(made))
    assert np.sign(slopes[1]) == sign
    np.testing.assert_allclose(slopes, reference.nnpu_slopes(np.array([3.0, unlabelled]), np.array([1.0, -1.0]), 0.5))


@given(rows, st.lists(st.floats(0, 1), min_size=60, max_size=60))
def test_evidence_is_negative_where_silence_counts_fully_and_belief_does_not(
    drawn: list[tuple[float, float, float]], belief: list[float]
) -> None:
    logit, explicit, _ = (list(column) for column in zip(*drawn, strict=True))
    told = [float(n % 2) for n in range(len(logit))]
    made = examples(logit, explicit, belief=belief[: len(logit)], told=told, belief_share=0.0, absence_share=1.0)
    for ours, theirs in zip(make_target("evidence")(made), make_target("negative")(made), strict=True):
        assert torch.equal(ours, theirs)


@given(rows, st.floats(0, 0.3))
def test_evidence_is_what_was_said_and_else_belief_where_silence_says_nothing(
    drawn: list[tuple[float, float, float]], share: float
) -> None:
    logit, explicit, _ = (list(column) for column in zip(*drawn, strict=True))
    belief = reference.probability(np.array(logit))
    told = [float(n % 2) for n in range(len(logit))]
    made = examples(logit, explicit, belief=belief.tolist(), told=told, belief_share=share, absence_share=0.0)
    w, weight = make_target("evidence")(made)
    silent = np.array(explicit) == UNSAID
    np.testing.assert_array_equal(w.numpy(), np.where(silent, belief, explicit))
    np.testing.assert_array_equal(weight.numpy(), np.where(silent, told, 1.0))  # the unwatched are left out


def test_evidence_mixes_belief_in_but_never_against_an_explicit_negative() -> None:
    made = examples([0.0] * 3, [1.0, 0.0, UNSAID], belief=0.5, belief_share=0.3, absence_share=1.0)
    w, weight = make_target("evidence")(made)
    assert w.tolist() == pytest.approx([0.7 + 0.15, 0.0, 0.15])
    assert weight.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("rate", "share"), [(0.02, 0.0), (0.005, 0.0), (0.0035, 0.05), (0.002, 0.1), (0.0001, 0.1)])
@pytest.mark.parametrize(("positives", "trust"), [(0.0, 0.0), (25.0, 0.25), (100.0, 1.0), (1e6, 1.0)])
def test_belief_counts_only_where_explicit_feedback_is_scarce_and_the_annotator_has_seen_some(
    rate: float, share: float, positives: float, trust: float
) -> None:
    assert belief_share(rate, positives) == pytest.approx(share * trust)


@pytest.mark.parametrize(("negatives", "share"), [(0.0, 1.0), (0.05, 1.0), (0.085, 0.5), (0.12, 0.0), (0.9, 0.0)])
def test_silence_counts_as_a_no_only_where_viewers_rarely_say_no(negatives: float, share: float) -> None:
    assert absence_share(negatives) == pytest.approx(share)


@pytest.mark.parametrize(
    ("mean", "prior", "found"),
    [(0.3, 0.3, 1.0), (0.03, 0.3, 10.0), (0.93, 0.3, 10.0), (0.5, 0.25, 1.5), (0.0, 0.1, 1e8), (1.0, 0.5, 5e8)],
)
def test_one_sidedness_is_how_many_times_too_rare_the_rarer_class_is(mean: float, prior: float, found: float) -> None:
    assert one_sidedness(mean, prior) == pytest.approx(found)


@pytest.mark.parametrize(("name", "collapses"), [("idl", True), ("idl-aligned", False)])
def test_idl_as_published_collapses_to_the_majority_and_aligned_idl_does_not(name: str, collapses: bool) -> None:
    """One view in ten is liked, by chance: there is nothing to learn but the rate, and IDL unlearns that."""
    liked = np.random.default_rng(0).random(3_000) < 0.1
    events = replace(some_events(3_000), actions=np.where(liked, Action.LIKE.bit, 0).astype(np.uint8))
    learner = Learner(LearnerSettings.model_validate({"target": name, "user_capacity": 100, "item_capacity": 100}))
    reports = [learner.step(events.take(slice(start, start + 200))) for start in range(0, 3_000, 200)]
    late = reports[10:]
    mean = float(np.mean([report.target[report.label == UNLABELLED].mean() for report in late]))
    prior = float(np.mean([report.prior for report in late]))
    assert mean < prior
    assert (one_sidedness(mean, prior) > 10) is collapses
    assert (one_sidedness(mean, prior) < 2) is not collapses

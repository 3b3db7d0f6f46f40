"""The annotator: Bayes' rule at first, calibrated in the end, and a threshold that keeps the rate of labels."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.strategies  # noqa: F401  registers the profile
from contract.belief import sigmoid
from trainer.annotator import EARLY_THRESHOLDS, PRIOR, RECENT_EVENTS, Annotator
from trainer.metrics_math import ece

Floats = npt.NDArray[np.float64]
Drawn = tuple[Floats, Floats, Floats, npt.NDArray[np.bool_], Floats]

TRUTH = np.array([0.6, -0.5, 1.0, 0.3, -0.8])
finite = st.floats(-20, 20)


def drawn(count: int, seed: int = 0, truth: Floats = TRUTH) -> Drawn:
    """Logit, watch, evidence, whether liked, and weight."""
    rng = np.random.default_rng(seed)
    logit, watch, llr = rng.normal(-2, 1, count), rng.normal(0, 1, count), rng.normal(0, 1, (count, 2))
    chance = sigmoid(truth[0] * logit + truth[1] * watch + llr @ truth[2:4] + truth[4])
    return logit, watch, llr, rng.random(count) < chance, np.ones(count)


def learn(annotator: Annotator, seen: Drawn, size: int = 256) -> None:
    logit, watch, llr, positive, weight = seen
    for start in range(0, len(logit), size):
        part = slice(start, start + size)
        annotator.learn(logit[part], watch[part], llr[part], positive[part], weight[part])


def taught(count: int = 3_000) -> Annotator:
    annotator = Annotator()
    learn(annotator, drawn(count))
    return annotator


def bits(annotator: Annotator) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in annotator.state().items()}


@given(finite, finite, finite, finite)
def test_an_untaught_belief_is_bayes_rule_on_half_of_each_evidence(
    y: float, v: float, cell: float, feed: float
) -> None:
    """Half, because the two tables look at the same watch."""
    believed = Annotator().believe(np.array([y]), np.array([v]), np.array([[cell, feed]]))
    assert believed[0] == pytest.approx(1 / (1 + np.exp(-(y + 0.5 * cell + 0.5 * feed))), abs=1e-12)
    assert Annotator().scores(np.array([y]))[0] == pytest.approx(1 / (1 + np.exp(-y)), abs=1e-12)


def test_the_coefficients_become_those_that_made_the_likes() -> None:
    annotator = taught(40_000)
    assert annotator.coefficients == pytest.approx(TRUTH, abs=0.08)
    assert np.abs(TRUTH - PRIOR).min() > 0.15


def test_beliefs_and_scores_become_calibrated() -> None:
    annotator = taught(40_000)
    logit, watch, llr, positive, _ = drawn(20_000, seed=1)
    assert ece(annotator.believe(logit, watch, llr), positive) < 0.01
    assert ece(annotator.scores(logit), positive) < 0.01
    calibration = annotator.calibration
    np.testing.assert_allclose(annotator.scores(logit), sigmoid(calibration.scale * logit + calibration.offset))


@pytest.mark.parametrize("count", [512, 1_024, 4_096, RECENT_EVENTS + 4_096])
def test_as_many_pseudo_labels_as_likes_lie_above_the_threshold(count: int) -> None:
    annotator, seen = Annotator(), drawn(count)
    learn(annotator, seen)
    recent = annotator.state()["recent"]
    share = (recent[:, 0] > annotator.calibration.threshold).mean()
    assert len(recent) == min(count, RECENT_EVENTS)
    assert share == pytest.approx(recent[:, 1].mean(), abs=0.02)
    assert recent[:, 1].sum() == seen[3][-RECENT_EVENTS:].sum()


def test_the_threshold_is_a_half_until_there_is_something_to_cut_it_from() -> None:
    annotator = Annotator()
    learn(annotator, drawn(EARLY_THRESHOLDS[0] - 1))
    assert annotator.calibration.threshold == 0.5
    learn(annotator, drawn(1, seed=1))
    assert annotator.calibration.threshold < 0.5


@given(st.integers(0, 9_999))
def test_exposures_of_weight_0_are_left_out(seed: int) -> None:
    logit, watch, llr, positive, weight = drawn(80, seed)
    weight[::2] = 0.0
    whole, kept = taught(600), taught(600)
    whole.learn(logit, watch, llr, positive, weight)
    kept.learn(logit[1::2], watch[1::2], llr[1::2], positive[1::2], weight[1::2])
    np.testing.assert_allclose(whole.coefficients, kept.coefficients, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(whole.state()["recent"], kept.state()["recent"])
    assert whole.state()["count"] == kept.state()["count"]


def test_a_score_is_recorded_as_it_was_before_the_batch_was_learned() -> None:
    annotator = taught(600)
    logit, watch, llr, positive, weight = drawn(50, seed=2)
    before = annotator.scores(logit)
    annotator.learn(logit, watch, llr, positive, weight)
    np.testing.assert_array_equal(annotator.state()["recent"][-50:, 0], before)
    assert (annotator.scores(logit) != before).any()


@pytest.mark.parametrize("count", [0, 700, RECENT_EVENTS + 1_000])
def test_a_restored_annotator_goes_on_bitwise(count: int) -> None:
    first, second = Annotator(), Annotator()
    learn(first, drawn(count))
    second.restore({name: value.copy() for name, value in first.state().items()})
    assert bits(first) == bits(second)
    for annotator in (first, second):
        learn(annotator, drawn(3_000, seed=3))
    assert bits(first) == bits(second)
    assert first.calibration == second.calibration

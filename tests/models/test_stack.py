"""The online Laplace fit against the batch fit, and what it must leave alone."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.stack import LARGEST_STEP, OnlineLogistic
from tests.golden import reference

Floats = npt.NDArray[np.float64]
Data = tuple[Floats, Floats, Floats, Floats]

TRUTH = np.array([0.4, 1.3, -0.6, -1.5])
PRIOR = np.array([1.0, 1.0, 0.0, 0.0])


def data(count: int, seed: int = 0, truth: Floats = TRUTH) -> Data:
    """Features with a constant last, an offset, drawn labels and weights."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(size=(count, 3)), np.ones((count, 1))], 1)
    offset = rng.normal(0, 0.3, count)
    said = (rng.random(count) < reference.probability(offset + x @ truth)).astype(np.float64)
    return x, offset, said, rng.choice([0.5, 1.0, 2.0], count)


def learn(model: OnlineLogistic, seen: Data, size: int = 256) -> None:
    for start in range(0, len(seen[0]), size):
        model.learn(*(column[start : start + size] for column in seen))


def taught(half_life: float = 1e12) -> OnlineLogistic:
    model = OnlineLogistic(PRIOR, half_life=half_life)
    learn(model, data(1_000))
    return model


def test_one_pass_comes_close_to_the_batch_maximum_a_posteriori() -> None:
    seen, model = data(8_000), OnlineLogistic(PRIOR, ridge=10.0, half_life=1e12)
    learn(model, seen)
    batch = reference.logistic_map(*seen, PRIOR, ridge=10.0)
    way, left = np.abs(batch - PRIOR), np.abs(batch - model.coefficients)
    assert left.max() < 0.03  # the standard error of the batch fit itself
    assert left.sum() < 0.05 * way.sum()


@pytest.mark.parametrize("half_life", [1e12, 60.0])
def test_each_batch_takes_one_newton_step_on_faded_curvature(half_life: float) -> None:
    """Written out row by row; what fades gives way to the prior."""
    x, offset, said, weight = data(120)
    model, a, precision = OnlineLogistic(PRIOR, ridge=3.0, half_life=half_life), PRIOR.copy(), 3.0 * np.eye(4)
    for start in range(0, 120, 40):
        batch, part = range(start, start + 40), slice(start, start + 40)
        model.learn(x[part], offset[part], said[part], weight[part])
        fade = 2 ** (-sum(weight[n] for n in batch) / half_life)
        precision = fade * precision + (1 - fade) * 3.0 * np.eye(4)
        gradient = (1 - fade) * 3.0 * (a - PRIOR)
        for n in batch:
            p = 1 / (1 + np.exp(-(offset[n] + sum(x[n] * a))))
            gradient = gradient + weight[n] * (p - said[n]) * x[n]
            precision = precision + weight[n] * p * (1 - p) * np.outer(x[n], x[n])
        a = a - np.linalg.inv(precision) @ gradient
        np.testing.assert_allclose(model.coefficients, a, rtol=1e-6)


def test_a_feature_that_falls_silent_goes_back_to_its_prior() -> None:
    model = OnlineLogistic(PRIOR, half_life=1_000.0)
    learn(model, data(4_000))
    x, offset, said, weight = data(20_000, seed=1)
    x[:, 0] = 0.0
    assert abs(model.coefficients[0] - PRIOR[0]) > 0.3
    learn(model, (x, offset, said, weight))
    assert model.coefficients[0] == pytest.approx(PRIOR[0], abs=0.01)


@given(st.integers(1, 40), st.integers(0, 9_999))
def test_rows_of_weight_0_do_nothing(count: int, seed: int) -> None:
    seen, more = data(60, seed), data(count, seed + 1)
    without, with_them = taught(), taught()
    without.learn(*seen)
    nothing = (*more[:3], np.zeros(count))
    order = np.random.default_rng(seed).permutation(60 + count)
    with_them.learn(*(np.concatenate([one, two])[order] for one, two in zip(seen, nothing, strict=True)))
    np.testing.assert_allclose(with_them.coefficients, without.coefficients, rtol=0, atol=1e-12)


def test_a_batch_in_which_nothing_counts_changes_no_bit() -> None:
    model, before = taught(half_life=100.0), taught(half_life=100.0)
    x, offset, said, _ = data(20)
    model.learn(x, offset, said, np.zeros(20))
    assert {n: v.tobytes() for n, v in model.state().items()} == {n: v.tobytes() for n, v in before.state().items()}


@pytest.mark.parametrize("half_life", [1e12, 500.0])
def test_the_coefficient_of_a_feature_that_is_always_0_stays_at_its_prior(half_life: float) -> None:
    x, offset, said, weight = data(2_000)
    x[:, 1] = 0.0
    model = OnlineLogistic(PRIOR, half_life=half_life)
    learn(model, (x, offset, said, weight))
    assert model.coefficients[1] == pytest.approx(PRIOR[1], abs=1e-12)


def test_a_feature_of_noise_is_weighed_down() -> None:
    model = OnlineLogistic(PRIOR)
    learn(model, data(20_000, truth=np.array([0.0, 1.0, 0.0, 0.0])))
    assert abs(model.coefficients[0]) < 0.06


def test_a_weight_of_two_is_being_seen_twice() -> None:
    x, offset, said, _ = data(40)
    once, twice = taught(), taught()
    once.learn(x, offset, said, np.full(40, 2.0))
    doubled_x, doubled_offset, doubled_said = (np.concatenate([column, column]) for column in (x, offset, said))
    twice.learn(doubled_x, doubled_offset, doubled_said, np.ones(80))
    np.testing.assert_allclose(once.coefficients, twice.coefficients, rtol=0, atol=1e-12)


def test_what_is_long_past_is_forgotten() -> None:
    now = np.array([-0.5, 0.2, 1.0, 0.5])
    forgetful, faithful = OnlineLogistic(PRIOR, half_life=2_000.0), OnlineLogistic(PRIOR, half_life=1e12)
    for model in (forgetful, faithful):
        learn(model, data(10_000))
        learn(model, data(10_000, seed=1, truth=now))
    gaps = [np.abs(model.coefficients - now).max() for model in (forgetful, faithful)]
    assert gaps[0] < 0.25 < gaps[1]


def test_no_step_is_larger_than_the_bound_and_all_stays_finite() -> None:
    model, x = OnlineLogistic(np.zeros(2), ridge=1e-6), np.array([[1e3, 1.0], [-1e3, 1.0]])
    for said in (1.0, 0.0, 1.0):
        before = model.coefficients
        model.learn(x, np.array([800.0, -800.0]), np.full(2, said), np.ones(2))
        assert np.isfinite(model.coefficients).all()
        assert np.abs(model.coefficients - before).max() <= LARGEST_STEP


def test_a_restored_fit_goes_on_bitwise() -> None:
    first, second = taught(500.0), OnlineLogistic(PRIOR, half_life=500.0)
    second.restore({name: value.copy() for name, value in first.state().items()})
    for model in (first, second):
        learn(model, data(700, seed=5), size=100)
    assert {n: v.tobytes() for n, v in first.state().items()} == {n: v.tobytes() for n, v in second.state().items()}

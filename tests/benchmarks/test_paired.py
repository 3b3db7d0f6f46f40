"""Paired differences, their intervals, and claims about many at once."""

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.denoising.paired import Series, difference, holm
from benchmarks.denoising.resampling import auc_draws, resample_users
from trainer.metrics_math import auc

USERS, ROWS_EACH, RESAMPLES = 120, 5, 120


def series_of(scores: dict[int, npt.NDArray[np.float64]], positive: npt.NDArray[np.bool_]) -> Series:
    resamples = resample_users(np.repeat(np.arange(USERS), ROWS_EACH), RESAMPLES)
    return Series(
        {seed: auc(score, positive) for seed, score in scores.items()},
        {seed: auc_draws(score, positive, resamples) for seed, score in scores.items()},
    )


def one_world(random: np.random.Generator, gain: float) -> tuple[Series, Series]:
    """Return a method whose score tells `gain` more than the other's, on users of unequal luck."""
    luck = np.repeat(random.normal(size=USERS), ROWS_EACH)
    positive = random.random(USERS * ROWS_EACH) < 0.3
    common = random.normal(size=len(positive)) + 0.8 * positive + 0.3 * luck
    better = {seed: common + gain * positive + 0.3 * random.normal(size=len(positive)) for seed in (1, 2)}
    plain = {seed: common + 0.3 * random.normal(size=len(positive)) for seed in (1, 2)}
    return series_of(better, positive), series_of(plain, positive)


def test_a_planted_difference_is_found_and_its_interval_excludes_zero() -> None:
    better, plain = one_world(np.random.default_rng(5), gain=0.6)
    found = difference(better, plain)
    assert found is not None
    assert found.low > 0
    assert found.p_value < 1e-4
    assert found.interval(20)[0] < found.low  # what holds for twenty at once reaches further


def test_the_interval_covers_no_difference_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(6)
    found = [difference(*one_world(random, gain=0.0)) for _ in range(60)]
    covers = [gap is not None and gap.low <= 0 <= gap.high for gap in found]
    assert 0.85 <= np.mean(covers) <= 1.0


def test_pairing_makes_the_interval_narrower_than_that_of_either_method() -> None:
    better, plain = one_world(np.random.default_rng(7), gain=0.1)
    found = difference(better, plain)
    assert found is not None
    assert found.error < 0.5 * float(better.draws[1].std())


def test_only_seeds_that_both_have_are_compared() -> None:
    draws = np.zeros(10)
    one = Series({1: 0.9, 2: 0.5}, {1: draws, 2: draws})
    other = Series({2: 0.4, 3: 0.0}, {2: draws, 3: draws})
    found = difference(one, other)
    assert found is not None
    assert found.value == pytest.approx(0.1)
    assert difference(one, Series({3: 0.0}, {3: draws})) is None


def test_holm_goes_down_until_the_first_that_does_not_pass() -> None:
    assert holm([0.001, 0.02, 0.04, 0.9]) == [True, False, False, False]
    assert holm([0.04, 0.001, 0.012, 0.013]) == [True, True, True, True]
    assert holm([]) == []

"""The betting test: rarely wrong however often one looks, right in the end, and the same after a restart."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sequential_test import DirectionTest
from tests.golden import reference

Floats = npt.NDArray[np.float64]

OBSERVATIONS = st.lists(st.floats(-1, 1), min_size=1, max_size=60)


def fair(kind: str, rng: np.random.Generator, groups: int) -> Floats:
    """Draws of mean 0 in -1..1."""
    if kind == "coin":
        return np.asarray(rng.integers(0, 2, groups) * 2.0 - 1.0)
    if kind == "rare":  # a large one now and then, made up for by many small ones
        return np.asarray(np.where(rng.random(groups) < 0.05, 1.0, -1.0 / 19.0))
    return np.asarray(rng.uniform(-1.0, 1.0, groups))


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("kind", ["coin", "rare", "uniform"])
def test_of_groups_without_a_direction_no_more_than_alpha_ever_take_one(kind: str, alpha: float) -> None:
    test, rng = DirectionTest(4_000, alpha), np.random.default_rng(7)
    ever = np.zeros(4_000, np.bool_)
    for _ in range(600):
        test.observe(fair(kind, rng, 4_000))
        ever |= test.direction != 0
    assert ever.mean() <= alpha


def test_a_biased_group_decides_the_right_way() -> None:
    test, rng = DirectionTest(300), np.random.default_rng(1)
    chance = np.repeat([0.65, 0.35], 150)  # of agreeing
    for _ in range(600):
        test.observe(np.where(rng.random(300) < chance, 1.0, -1.0))
    assert (test.direction[:150] == 1).mean() > 0.98
    assert (test.direction[150:] == -1).mean() > 0.98


@given(OBSERVATIONS, st.floats(0.02, 0.9))
def test_directions_are_those_of_two_gamblers_who_bet_by_what_came_before(z: list[float], alpha: float) -> None:
    biased = [min(1.0, each + 0.7) for each in z]  # so that somebody wins now and then
    test, path = DirectionTest(1, alpha), []
    for each in biased:
        test.observe(np.array([each]))
        path.append(int(test.direction[0]))
    assert path == reference.bets(biased, alpha, largest=0.5, prior_variance=0.25)


def test_until_there_is_enough_evidence_a_group_keeps() -> None:
    test = DirectionTest(1)
    test.observe(np.array([1.0]))
    test.observe(np.array([1.0]))
    assert test.direction.tolist() == [0]


def test_a_direction_is_revised_when_the_evidence_turns() -> None:
    test, directions = DirectionTest(1), []
    for z in [0.8] * 40 + [-0.8] * 400:
        test.observe(np.array([z]))
        directions.append(int(test.direction[0]))
    assert (directions[0], directions[39], directions[-1]) == (0, 1, -1)


def test_groups_do_not_see_each_other_and_nothing_seen_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    both, alone = DirectionTest(2), DirectionTest(1)
    for n in range(200):
        z = float(rng.uniform(-0.3, 0.9))
        both.observe(np.array([z, np.nan]))
        alone.observe(np.array([z]))
        if n % 3 == 0:
            alone.observe(np.array([np.nan]))
    for name, value in alone.state().items():
        np.testing.assert_array_equal(np.asarray(both.state()[name])[..., :1], value)
        assert not np.asarray(both.state()[name])[..., 1:].any()


def test_a_restored_test_goes_on_bitwise() -> None:
    rng = np.random.default_rng(3)
    first, second = DirectionTest(50), DirectionTest(50)
    for n in range(200):
        if n == 100:
            second.restore({name: value.copy() for name, value in first.state().items()})
        z = rng.uniform(-0.5, 0.9, 50)
        first.observe(z)
        if n >= 100:
            second.observe(z)
    assert {n: v.tobytes() for n, v in first.state().items()} == {n: v.tobytes() for n, v in second.state().items()}
    assert (first.direction == 1).any()

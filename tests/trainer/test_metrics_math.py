"""Each metric against its definition, written out pair by pair and order by order."""

from itertools import permutations
from math import isnan, log, log2
from random import Random
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.metrics_math import auc, ece, gauc, log_loss, ndcg_at_k, psi

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Rows = tuple[Floats, Bools, Ints]


@st.composite
def rows(draw: st.DrawFn, most: int = 30) -> Rows:
    """Few distinct scores and groups, so that ties and one-class groups are common."""
    drawn = draw(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=most))
    score, label, group = zip(*drawn, strict=True)
    return np.array(score) / 5.0, np.array(label, np.bool_), np.array(group, np.int64)


def auc_by_pairs(score: Floats, label: Bools) -> float:
    pairs = [(p, n) for p in score[label] for n in score[~label]]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs) if pairs else float("nan")


def ndcg_by_orders(score: Floats, label: Bools, k: int) -> float:
    """Mean over every order that the scores allow."""
    orders = [order for order in permutations(range(len(score))) if (np.diff(score[list(order)]) <= 0).all()]
    gains = [sum(label[row] / log2(place + 2) for place, row in enumerate(order[:k])) for order in orders]
    return float(np.mean(gains) / sum(1 / log2(place + 2) for place in range(min(k, label.sum()))))


def figures(score: Floats, label: Bools, group: Ints) -> list[float]:
    return [gauc(score, label, group).value, ndcg_at_k(score, label, group).value, ece(score, label, 4)]


@given(rows())
def test_auc_is_the_share_of_ordered_pairs(drawn: Rows) -> None:
    score, label, _ = drawn
    assert auc(score, label) == pytest.approx(auc_by_pairs(score, label), nan_ok=True)


@given(rows())
def test_gauc_weighs_each_two_class_group_by_its_rows(drawn: Rows) -> None:
    score, label, group = drawn
    parts = [group == g for g in np.unique(group)]
    judged = [part for part in parts if 0 < label[part].sum() < part.sum()]
    found = gauc(score, label, group)
    assert (found.groups, found.weight) == (len(judged), sum(part.sum() for part in judged))
    total = sum(part.sum() * auc_by_pairs(score[part], label[part]) for part in judged)
    assert found.value == pytest.approx(total / found.weight if judged else float("nan"), nan_ok=True)


@settings(max_examples=40)
@given(rows(most=7), st.integers(1, 8))
def test_ndcg_is_the_mean_over_all_orders_that_ties_allow(drawn: Rows, k: int) -> None:
    score, label, group = drawn
    judged = [group == g for g in np.unique(group) if label[group == g].any()]
    found = ndcg_at_k(score, label, group, k)
    expected = np.mean([ndcg_by_orders(score[part], label[part], k) for part in judged]) if judged else float("nan")
    assert found.value == pytest.approx(float(expected), nan_ok=True)
    assert found.groups == len(judged)


@given(rows(), st.randoms(use_true_random=False))
def test_no_figure_depends_on_the_order_of_the_rows(drawn: Rows, random: Random) -> None:
    score, label, group = drawn
    order = list(range(len(score)))
    random.shuffle(order)
    shuffled = np.array(order)
    assert figures(score[shuffled], label[shuffled], group[shuffled]) == pytest.approx(
        figures(score, label, group), nan_ok=True
    )


@given(rows())
def test_log_loss_is_the_mean_surprise_in_nats(drawn: Rows) -> None:
    prob, label, _ = drawn
    surprise = [-log(max(p if said else 1 - p, 1e-12)) for p, said in zip(prob, label, strict=True)]
    assert log_loss(prob, label) == pytest.approx(np.mean(surprise))


@given(rows(), st.integers(1, 6))
def test_ece_is_the_gap_per_bin_of_equal_mass(drawn: Rows, bins: int) -> None:
    prob, label, _ = drawn
    gaps = [0.0] * bins
    for p, said in zip(prob, label, strict=True):
        middle = sum(other < p for other in prob) + 0.5 * sum(other == p for other in prob)
        gaps[int(middle * bins / len(prob))] += p - said
    assert ece(prob, label, bins) == pytest.approx(sum(map(abs, gaps)) / len(prob), abs=1e-12)


def test_ece_of_distinct_probabilities_fills_bins_evenly() -> None:
    prob = np.arange(1, 9) / 10.0
    label = np.array([0, 0, 0, 1, 0, 1, 1, 1], np.bool_)
    by_hand = abs(0.3 - 0) + abs(0.7 - 1) + abs(1.1 - 1) + abs(1.5 - 2)  # bins of two rows
    assert ece(prob, label, bins=4) == pytest.approx(by_hand / 8)


def test_psi_is_zero_for_equal_shares_and_follows_its_formula_for_a_shift() -> None:
    expected = np.array([0.0] * 50 + [1.0] * 50)
    actual = np.array([0.0] * 20 + [1.0] * 80)
    e, a = (50.5 / 101, 50.5 / 101), (20.5 / 101, 80.5 / 101)
    by_hand = sum((y - x) * log(y / x) for x, y in zip(e, a, strict=True))
    assert psi(expected, expected) == 0.0
    assert psi(expected, actual, bins=2) == pytest.approx(by_hand)


def test_psi_stays_finite_when_a_bin_empties() -> None:
    assert 0.25 < psi(np.linspace(0, 1, 1000), np.full(1000, 0.99)) < 100


@pytest.mark.parametrize("score", [[], [0.1, float("nan")]])
def test_what_is_not_defined_is_nan(score: list[float]) -> None:
    rows, label = np.array(score), np.array([True, False][: len(score)], np.bool_)
    group = np.zeros(len(score), np.int64)
    found = [auc(rows, label), gauc(rows, label, group).value, ndcg_at_k(rows, label, group).value]
    assert all(isnan(value) for value in [*found, log_loss(rows, label), ece(rows, label), psi(rows, rows)])


def test_one_class_alone_has_no_auc() -> None:
    assert isnan(auc(np.array([0.1, 0.2]), np.array([True, True])))


def test_a_group_may_be_named_by_text() -> None:
    found = gauc(np.array([0.1, 0.2, 0.3]), np.array([False, True, True]), np.array(["u1", "u1", "u2"]))
    assert (found.value, found.groups, found.weight) == (1.0, 1, 2.0)


def test_a_hundred_thousand_rows_take_a_moment() -> None:
    rng = np.random.default_rng(0)
    score, group = rng.random(100_000), rng.integers(0, 20_000, 100_000)
    label = rng.random(100_000) < 0.02
    started = perf_counter()
    gauc(score, label, group)
    ndcg_at_k(score, label, group)
    ece(score, label)
    assert perf_counter() - started < 1.0  # about 0.06 s; the bound only catches a loop over rows

"""How good a ranking or a probability is: AUC, GAUC, NDCG@k, log loss, ECE, PSI. Pure NumPy, exact, ties included.

Equal scores are never put in an order of our making: AUC counts a tied pair as half, NDCG takes the mean over all
orders of a tie (McSherry and Najork, ECIR 2008), and a tie falls into one calibration bin. So no figure depends on the
order of the rows. A figure that is not defined (no rows, one class only, a score that is nan) is nan.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Labels = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.generic]  # any dtype that sorts; a user, or a user and day
_Floats = npt.NDArray[np.float64]
_Places = npt.NDArray[np.int64]

NDCG_AT = 10
CALIBRATION_BINS = 15
DRIFT_BINS = 10
SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class GroupMetric:
    """A mean over groups."""

    value: float  # nan without groups
    groups: int  # groups that could be judged
    weight: float  # what the mean is divided by; means of disjoint sets of groups combine by it


def auc(score: Scores, label: Labels) -> float:
    """Return the share of (positive, negative) pairs that the score puts in order, a tie counting half. Shapes [N]."""
    return gauc(score, label, np.zeros(len(score), np.int8)).value


def gauc(score: Scores, label: Labels, group: Groups) -> GroupMetric:
    """Return the mean AUC of the groups that hold both classes, each weighted by its rows (impressions). Shapes [N].

    Source: Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017.
    """
    if len(score) == 0 or np.isnan(score).any():
        return GroupMetric(np.nan, 0, 0.0)
    ties = _Ties.of(score, label, group)
    middle = 0.5 * (ties.first + ties.end - 1)  # rows of the group below a tie, half of its own included
    positives = _sum_by(ties.group, ties.positives)
    rows = _sum_by(ties.group, ties.end - ties.first)
    pairs = positives * (rows - positives)
    inside_positives = positives * (positives - 1) / 2  # pairs of two positives, which the ranks count as well
    in_order = _sum_by(ties.group, ties.positives * middle) - inside_positives
    judged = pairs > 0
    return _mean(in_order[judged] / pairs[judged], rows[judged])


@dataclass(frozen=True)
class PairedAUC:
    """Two models on the same rows."""

    first: float
    second: float
    error: float  # standard error of first - second


def paired_auc(first: Scores, second: Scores, label: Labels) -> PairedAUC:
    """Return the AUCs of two models, and the standard error of their difference. Shapes [N].

    Paired: what both find hard costs neither. nan and infinity with fewer than two rows of either class.
    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 1988.
    """
    positives, negatives = int(label.sum()), int((~label).sum())
    if min(positives, negatives) < 2:
        return PairedAUC(np.nan, np.nan, np.inf)
    (a_won, a_lost), (b_won, b_lost) = _won(first, label), _won(second, label)
    variance = (a_won - b_won).var(ddof=1) / positives + (a_lost - b_lost).var(ddof=1) / negatives
    return PairedAUC(float(a_won.mean()), float(b_won.mean()), float(np.sqrt(variance)))


def _won(score: Scores, label: Labels) -> tuple[_Floats, _Floats]:
    """Return the share of negatives below each positive, and of positives above each negative; a tie counts half."""
    positive, negative = np.sort(score[label]), np.sort(score[~label])
    below = [np.searchsorted(negative, score[label], side) for side in ("left", "right")]
    above = [len(positive) - np.searchsorted(positive, score[~label], side) for side in ("left", "right")]
    return (below[0] + below[1]) / (2.0 * len(negative)), (above[0] + above[1]) / (2.0 * len(positive))


def ndcg_at_k(score: Scores, label: Labels, group: Groups, k: int = NDCG_AT) -> GroupMetric:
    """Return the mean NDCG@k of the groups with a positive, each group counting once. Shapes [N].

    Gain 1 for a positive, discount 1 / log2(place + 2) with place from 0; a tie is its expectation over all orders.
    """
    if len(score) == 0 or np.isnan(score).any():
        return GroupMetric(np.nan, 0, 0.0)
    ties = _Ties.of(-score, label, group)
    discounts = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])  # of the first 0..k places
    inside = discounts[np.minimum(ties.end, k)] - discounts[np.minimum(ties.first, k)]
    gained = _sum_by(ties.group, ties.positives / (ties.end - ties.first) * inside)
    positives = _sum_by(ties.group, ties.positives).astype(np.int64)
    judged = positives > 0
    ideal = discounts[np.minimum(positives[judged], k)]
    return _mean(gained[judged] / ideal, np.ones(len(ideal)))


def log_loss(prob: Scores, label: Labels) -> float:
    """Return the mean of -log of the probability given to what happened, in nats. Shapes [N].

    A probability under 1e-12 counts as 1e-12, so that one certain mistake costs 27.6 nats and not infinity.
    """
    if len(prob) == 0:
        return float("nan")
    prob = prob.astype(np.float64)
    given = np.where(label, prob, 1.0 - prob)
    return float(-np.log(np.maximum(given, SMALLEST_PROBABILITY)).mean())


def ece(prob: Scores, label: Labels, bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error over bins of equal mass: sum of |sum(prob - label)| per bin, over N.

    Shapes [N]. A row's bin is its middle rank times bins over N, so equal probabilities share a bin.
    """
    if len(prob) == 0 or np.isnan(prob).any():
        return float("nan")
    _, value_of, rows = np.unique(prob, return_inverse=True, return_counts=True)
    middle = np.cumsum(rows) - 0.5 * rows
    place = np.floor(middle * bins / len(prob)).astype(np.int64)[value_of]
    gap = np.bincount(place, prob.astype(np.float64) - label, minlength=bins)
    return float(np.abs(gap).sum() / len(prob))


def psi(expected: Scores, actual: Scores, bins: int = DRIFT_BINS) -> float:
    """Return the population stability index of `actual` against `expected`. Shapes [N], [M].

    Sum of (a - e) ln(a / e) over bins with the quantiles of `expected` as edges, half a row added to each bin of both
    so that an empty one stays finite. Above 0.25 is by custom a drift.
    """
    if len(expected) == 0 or len(actual) == 0 or np.isnan(expected).any() or np.isnan(actual).any():
        return float("nan")
    edges = np.unique(np.quantile(expected, np.arange(1, bins) / bins))
    e, a = (_shares(np.searchsorted(edges, rows, "right"), len(edges) + 1) for rows in (expected, actual))
    return float(((a - e) * np.log(a / e)).sum())


def psi_of_counts(expected: _Places, actual: _Places, bins: int = DRIFT_BINS) -> float:
    """Return the same where both are known as counts over the same fine bins. Shapes [B], [B].

    A fine bin goes whole into the bin in which the quantile of its middle row falls.
    """
    if not expected.any() or not actual.any():
        return float("nan")
    middle = (np.cumsum(expected) - 0.5 * expected) / expected.sum()
    place = np.minimum((middle * bins).astype(np.int64), bins - 1)
    e, a = (_smoothed(np.bincount(place, counts, minlength=bins)) for counts in (expected, actual))
    return float(((a - e) * np.log(a / e)).sum())


@dataclass(frozen=True)
class _Ties:
    """Rows sorted by group and score, gathered into ties: runs of one score within one group. Columns [T]."""

    group: _Places  # 0, 1, ... in sorted order
    first: _Places  # place of the tie's first row within its group
    end: _Places  # one past its last
    positives: _Floats

    @classmethod
    def of(cls, score: Scores, label: Labels, group: Groups) -> "_Ties":
        """Gather at least one row."""
        order = np.lexsort((score, group))
        sorted_group, sorted_score = group[order], score[order]
        new_group = np.append(True, sorted_group[1:] != sorted_group[:-1])
        new_tie = new_group | np.append(True, sorted_score[1:] != sorted_score[:-1])
        first = np.flatnonzero(new_tie)
        end = np.append(first[1:], len(score))
        group_of_tie = (np.cumsum(new_group) - 1)[first]
        group_starts = np.flatnonzero(new_group)[group_of_tie]
        positives = np.add.reduceat(label[order].astype(np.float64), first)
        return cls(group_of_tie, first - group_starts, end - group_starts, positives)


def _sum_by(group: _Places, value: npt.NDArray[np.float64 | np.int64]) -> _Floats:
    return np.asarray(np.bincount(group, value), np.float64)


def _mean(value: _Floats, weight: _Floats) -> GroupMetric:
    total = float(weight.sum())
    return GroupMetric(float((value * weight).sum() / total) if total else np.nan, len(value), total)


def _shares(place: npt.NDArray[np.int64], bins: int) -> _Floats:
    return _smoothed(np.bincount(place, minlength=bins))


def _smoothed(counts: npt.NDArray[np.float64 | np.int64]) -> _Floats:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)), np.float64)

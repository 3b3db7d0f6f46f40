"""Whose watches say one thing and whose relevance another, beyond chance. Pure; formulas in docs/methods.md.

Of a user or item: n views; O the sum of their relevance (what was said, else what is believed); E and V what everybody
else makes of views in the same evidence cells, sums over the views of the mean and variance of relevance there; a the
relevance of a usual view; K views that are loops, or that go to the end, where p is the usual share of such views. Two
ratios, each less its median,

    l = log((O + a) / (E + a))            k = log((K + 1/2) / (n p + 1/2))

how relevance stands to what the watches say, and how unusual the watches are. Each over its spread: that by chance, and
t, by which users or items differ anyway, such that half of all are within 0.6745. So what is ordinary among them is no
suspicion, however often it is seen. z is the farthest out of z_l and, where z_k > 0, (z_l - z_k) / sqrt 2 < 0 of both
kinds; p is three times what that says. q is the share of false finds among all as far out (Benjamini and Hochberg).
Sources: Efron, "Large-scale simultaneous hypothesis testing", JASA 2004; Benjamini and Hochberg, JRSS B 1995.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_VIEWS = 20
FALSE_SHARE = 0.1  # of the list, at most, in expectation
_HALF_NORMAL_MEDIAN = 0.6744898


@dataclass(frozen=True)
class Sums:
    """What there is of N users or items. Columns [N]."""

    views: Floats
    observed: Floats  # O
    expected: Floats  # E
    variance: Floats  # V
    played: tuple[Floats, ...]  # K of each kind
    usual: float  # a
    usual_played: tuple[float, ...]  # p of each kind


@dataclass(frozen=True)
class Judged:
    """How far out each of N is."""

    z: Floats
    q: Floats


def judge(sums: Sums) -> Judged:
    """Return z and q of N users or items."""
    if not len(sums.views):
        return Judged(np.zeros(0), np.zeros(0))
    expected = sums.expected + sums.usual
    z = of_relevance = _standard(np.log((sums.observed + sums.usual) / expected), sums.variance / expected**2)
    for count, share in zip(sums.played, sums.usual_played, strict=True):
        by_views = sums.views * share + 0.5
        of_watches = _standard(np.log((count + 0.5) / by_views), 1.0 / by_views)
        apart = (of_relevance - of_watches) / math.sqrt(2.0)
        z = np.where((of_watches > 0) & (-apart > np.abs(z)), apart, z)
    looks = 1 + len(sums.played)
    return Judged(z, _false_shares(np.minimum(1.0, looks * _two_sided(z))))


def _standard(ratio: Floats, chance: Floats) -> Floats:
    """Return ratios less their median, over t^2 and chance together. Shapes [N], [N] -> [N]."""
    ratio = ratio - np.median(ratio)
    low, high = 1e-6, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        is_wide = np.median(np.abs(ratio) / np.sqrt(middle + chance)) < _HALF_NORMAL_MEDIAN
        low, high = (low, middle) if is_wide else (middle, high)
    return np.asarray(ratio / np.sqrt(low + chance))


def _two_sided(z: Floats) -> Floats:
    return np.array([math.erfc(abs(one) / math.sqrt(2.0)) for one in z.tolist()])


def _false_shares(p: Floats) -> Floats:
    order = np.argsort(p)
    stepped = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(1.0, np.minimum.accumulate(stepped[::-1])[::-1])
    return q

"""Paired differences of two methods over seeds and resamples of users, and what may be claimed of many at once.

The difference is taken inside each resample and averaged over the seeds both have, so what moves both methods alike
cancels. The 95 % interval is that of the resamples' percentiles. For many comparisons at once the normal interval at
1 - 0.05 / m (Bonferroni) and Holm's step-down test on the normal p-value are used: percentiles of 1,000 resamples do
not reach that far. The interval says what other users would change; the spread over seeds stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
LEVEL = 0.05


@dataclass(frozen=True)
class Series:
    """One figure of one method under one condition, by seed."""

    values: Mapping[int, float]
    draws: Mapping[int, Floats]  # [B] each; empty where the figure was not resampled

    @property
    def mean(self) -> float:
        """The mean over seeds; nan without any."""
        return float(np.mean(list(self.values.values()))) if self.values else float("nan")

    @property
    def spread(self) -> float:
        """The standard deviation over seeds; nan for fewer than two."""
        return float(np.std(list(self.values.values()), ddof=1)) if len(self.values) > 1 else float("nan")


@dataclass(frozen=True)
class Difference:
    """How much more one method has than another."""

    value: float
    low: float  # of the 95 % interval
    high: float
    error: float  # standard deviation over resamples
    seeds: int  # that both were measured on
    above: int  # of these, how many have the difference above zero

    def interval(self, comparisons: int) -> tuple[float, float]:
        """Return the interval that holds for this and `comparisons - 1` others at once (Bonferroni)."""
        reach = NormalDist().inv_cdf(1.0 - LEVEL / (2 * comparisons)) * self.error
        return self.value - reach, self.value + reach

    @property
    def p_value(self) -> float:
        """The two-sided normal p-value of no difference; 1 where nothing varies."""
        if not self.error > 0:
            return 1.0
        return 2.0 * NormalDist().cdf(-abs(self.value) / self.error)


def difference(one: Series, other: Series) -> Difference | None:
    """Return `one` minus `other` over the seeds that both were measured on; None if there is none."""
    seeds = sorted(set(one.values) & set(other.values) & set(one.draws) & set(other.draws))
    if not seeds:
        return None
    gaps = [one.values[seed] - other.values[seed] for seed in seeds]
    value, above = float(np.mean(gaps)), sum(gap > 0 for gap in gaps)
    draws = np.mean([one.draws[seed].astype(np.float64) - other.draws[seed] for seed in seeds], axis=0)
    told = draws[~np.isnan(draws)]
    if len(told) < 2:
        return Difference(value, float("nan"), float("nan"), float("nan"), len(seeds), above)
    low, high = np.quantile(told, [LEVEL / 2, 1.0 - LEVEL / 2])
    return Difference(value, float(low), float(high), float(told.std(ddof=1)), len(seeds), above)


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Return which of several null hypotheses Holm's step-down test rejects at a family-wise level.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statistics 1979.
    """
    rejected = [False] * len(p_values)
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        if not p_values[place] <= level / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected

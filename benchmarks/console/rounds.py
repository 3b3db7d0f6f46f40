"""Alternatives in turn, each round in another order; ratios within a round, and how sure their median is."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from benchmarks.serving.series import Series

_Seen = TypeVar("_Seen")
_RESAMPLES = 5_000


def in_turn(alternatives: Mapping[str, Callable[[], _Seen]], rounds: int) -> dict[str, list[_Seen]]:
    """Run every alternative once a round. Who is first moves on by one, so that none is always after the same."""
    names = list(alternatives)
    seen: dict[str, list[_Seen]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seen[name].append(alternatives[name]())
    return seen


def interval(series: Series) -> tuple[float, float]:
    """Return within what the median lies, 95 times in a hundred, as a bootstrap over the rounds tells."""
    values = np.array(series.values)
    picked = np.random.default_rng(1).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(values[picked], axis=1), [0.025, 0.975])
    return float(low), float(high)


def with_interval(series: Series, digits: int = 3) -> str:
    """Return the median and its interval."""
    low, high = interval(series)
    return f"{series.median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

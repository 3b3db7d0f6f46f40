"""How counts fade with the events that pass, and how those of earlier events are put right in fading tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(cache=True)

HALF_LIFE = 300_000.0  # events
_N, _P = 0, 1  # columns of exposures and positives


@_compiled
def fade(last: int, tick: int) -> float:
    """Return 2^((last - tick) / HALF_LIFE), for short times by its series (to 1e-11), which is cheaper."""
    x = (last - tick) * (0.6931471805599453 / HALF_LIFE)
    return 1.0 + x * (1.0 + x * (0.5 + x / 6.0)) if x > -3e-3 else float(np.exp(x))


@_compiled
def correct(  # type: ignore[no-untyped-def]
    user, item, side, weight, positive, then, now,
    users, items, sides, users_last, items_last, sides_last, totals,
):  # fmt: skip
    """Add weight and positives [N] to the rows of events counted when the clock stood at `then` [N]; it is `now`."""
    for n in range(len(user)):
        faded = fade(then[n] + 1, now)
        totals[_N] += faded * weight[n]
        totals[_P] += faded * positive[n]
        if user[n]:
            _correct_row(users, users_last, user[n], then[n], weight[n], positive[n])
        if item[n]:
            _correct_row(items, items_last, item[n], then[n], weight[n], positive[n])
        for slot in range(side.shape[1]):
            if side[n, slot]:
                _correct_row(sides, sides_last, side[n, slot], then[n], weight[n], positive[n])


@_compiled
def _correct_row(counts, last, row, then, weight, positive):  # type: ignore[no-untyped-def]
    faded = fade(then, last[row])
    counts[row, _N] += faded * weight
    counts[row, _P] += faded * positive

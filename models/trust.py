"""How much a word tells of anything but who said it, and how broadly viewers say no (promise P10).

Few viewers who speak at each turn would outshout the many who speak at one view in fifty: a tenth of the users is more
than all other words together. So a word of a user counts for items, features and weights

    trust = clip((2 r / r_u)^2, 0.05, 1)

where r is the share of views at which something explicit is said, each word as far as it is trusted, and r_u the user's
own before this event, pulled to r by 50 imagined views. Up to twice the usual rate a word counts whole. Beyond, who
speaks more often tells less in all; so the most that a user can tell is at an unremarkable rate.

Whether silence is a no (`models.targets.absence_share`) hangs on the share of dislikes among words. A few who dislike
at each turn must not settle it for all. So it is asked as well how broad the no is: views by users who have said one,
over what those would be if all users said no alike,

    breadth = B / (B0 + 20),   B0 = sum of 1 - (1 - s)^E_u

with s the share of dislikes and E_u the user's words, over the latest views. Where all say no alike it is about 1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from models.targets import absence_share

_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(cache=True)

WHOLE_UP_TO = 2.0  # times the usual rate of words
LEAST_TRUST = 0.05
IMAGINED_VIEWS = 50.0
_RATE = 0.4, 20.0  # the usual rate is smoothed: (E + .4) / (A + 20)
IMAGINED_BREADTH = 20.0
BREADTH_FADE = 0.5 ** (1.0 / 20_000.0)  # a view
NARROW_BELOW, BROAD_ABOVE = 0.75, 0.90
_HAS = 0.25  # of a faded word, that a user counts as having said it


def silence_share(negative_share: float, breadth: npt.NDArray[np.float64]) -> float:
    """Return how far silence counts as a no, 0..1: it ceases to only where no is said often and broadly.

    `breadth` [2] is what `widen` keeps.
    """
    found = float(breadth[0] / (breadth[1] + IMAGINED_BREADTH))
    return max(absence_share(negative_share), absence_share(found, NARROW_BELOW, BROAD_ABOVE))


@_compiled
def trust_of(spoken: float, shown: float, all_spoken: float, all_shown: float) -> float:
    """Return how much a word counts for others, given decayed words and views of its user, and of all, before it."""
    usual = (all_spoken + _RATE[0]) / (all_shown + _RATE[1])
    own = (spoken + IMAGINED_VIEWS * usual) / (shown + IMAGINED_VIEWS)
    return float(min(1.0, max(LEAST_TRUST, (WHOLE_UP_TO * usual / own) ** 2)))


@_compiled
def widen(breadth: npt.NDArray[np.float64], spoken: float, disliked: float, negative_share: float) -> None:
    """Add one view of a user, with decayed words and dislikes before it, to (B, B0), which the caller fades."""
    if spoken > _HAS:
        breadth[0] += 1.0 if disliked > _HAS else 0.0
        breadth[1] += 1.0 - np.exp(spoken * np.log1p(-negative_share))

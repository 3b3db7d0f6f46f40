"""In words, what is unusual about a user or item. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_UNUSUAL = 3.0  # times the usual
_NOTEWORTHY = 0.1  # of the views
_FEW = 3  # words that are too few to be a habit
_SAID = {"positive": "something good is said", "negative": "something bad is said"}
_WATCHED = {
    "loop": "loops",
    "complete": "watched to the end",
    "swipe": "swiped away",
    "background": "played in the background",
}


@dataclass(frozen=True)
class Habits:
    """How many views each of N has, and of how many of them each thing is so. Columns [N]."""

    views: Floats
    counts: dict[str, Floats]  # positive, negative, capped, and kinds of watch

    def usual(self, name: str) -> float:
        """Return the share of all views."""
        return float(self.counts[name].sum() / max(self.views.sum(), 1.0))


def why(habits: Habits, place: int, watch_says: float, relevance: float) -> list[str]:
    """Say what is unusual about one of N; last what the watches say, and what is the relevance."""
    views = float(habits.views[place])
    share = {name: float(column[place]) / views for name, column in habits.counts.items()}
    said = [
        f"{words} on {_percent(share[name])} of views, {_times(share[name], habits.usual(name))} the usual"
        for name, words in _SAID.items()
        if share[name] * views >= _FEW and share[name] > _UNUSUAL * habits.usual(name)
    ]
    said += [
        f"{words} on {_percent(share[name])} of views, where {_percent(habits.usual(name))} is usual"
        for name, words in _WATCHED.items()
        if share[name] > max(_NOTEWORTHY, _UNUSUAL * habits.usual(name))
    ]
    if share["positive"] == 0.0 and relevance < watch_says:
        said.append(f"nothing good is ever said in {views:,.0f} views")
    if share["capped"] > _NOTEWORTHY:
        said.append(f"{_percent(share['capped'])} of views are over a cap")
    return [*said, f"others with such watches have a relevance of {watch_says:.2g}, these {relevance:.2g}"]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def _times(share: float, usual: float) -> str:
    return f"{share / usual:.0f} times" if usual > 0 else "many times"

"""MovieLens-style ratings, `user item rating` a line, as events: an explicit word or nothing, never a watch.

Ratings carry no time, so an event's time is its place in the order in which it is played. A rating above a threshold
becomes LIKE, another DISLIKE; where a word is left out the event says nothing at all: no action, no watch (ABSENT).
Source: Harper and Konstan, "The MovieLens Datasets", TiiS 2015; the files are not redistributed with Winnow.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.errors import DataError
from contract.events import ABSENT, Action, Events
from trainer.log_block import events_of

Whole = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

START_MS = 1_650_812_400_000  # of the made-up time
GAP_MS = 1_000
_SOURCE = "MovieLens-1M is published at https://grouplens.org/datasets/movielens/1m/"


@dataclass(frozen=True)
class Ratings:
    """Who rated what, in the order of the file. Columns [N]."""

    user: Whole
    item: Whole
    rating: Whole

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, index: Whole | Mask) -> "Ratings":
        """Return the chosen ratings, in the order of the index."""
        return Ratings(self.user[index], self.item[index], self.rating[index])


def read_ratings(path: Path) -> Ratings:
    """Read a file of three whole numbers a line, plain or `.gz`. Raises DataError where it is missing or not that."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file. {_SOURCE}; split it into lines of `user item rating`")
    try:
        columns = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not lines of `user item rating` in whole numbers ({error}). {_SOURCE}") from None
    if columns.shape[1] != 3 or len(columns) == 0:
        raise DataError(f"{path}: {columns.shape[0]} lines of {columns.shape[1]} numbers; needed are lines of 3")
    if (columns < 0).any():
        raise DataError(f"{path}: the smallest number is {columns.min()}; none may be negative")
    return Ratings(columns[:, 0], columns[:, 1], columns[:, 2])


def silent_events(ratings: Ratings) -> Events:
    """Return an event for each rating, in its order, of which nothing is said yet. At least one rating."""
    user, item = ([str(id_) for id_ in column.tolist()] for column in (ratings.user, ratings.item))
    absent = np.full(len(ratings), ABSENT, np.int64)
    nothing = [""] * len(ratings)
    return events_of(
        user,
        item,
        _times(len(ratings)),
        watch_ms=absent,
        duration_ms=absent,
        actions=np.zeros(len(ratings), np.int64),
        position=absent,
        surface=nothing,
        author_id=nothing,
        tags=nothing,
        event_id=[f"{one}-{other}" for one, other in zip(user, item, strict=True)],
    )


def with_words(events: Events, liked: Mask, said: Mask) -> Events:
    """Return the events with LIKE or DISLIKE where something is said, and nothing elsewhere. Shapes [N]."""
    word = np.where(liked, Action.LIKE.bit, Action.DISLIKE.bit)
    return replace(events, actions=np.where(said, word, 0).astype(np.uint8))


def played_in_order(events: Events, order: Whole) -> Events:
    """Return the events in an order, with times that follow it. Shapes [N], [M] -> [M]."""
    return replace(events.take(order), at_ms=_times(len(order)))


def _times(count: int) -> Whole:
    return START_MS + GAP_MS * np.arange(count, dtype=np.int64)

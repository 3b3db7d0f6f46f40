"""A piece of a watch log: events, and what a log or a simulation knows of them that an event does not say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.events import ABSENT, MAX_ID_CHARACTERS, Events, Texts
from contract.hashing import event_key, id_key, id_keys

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LogBlock:
    """Events in log order, with what a log may say beyond them. Columns of length N."""

    events: Events
    long_view: npt.NDArray[np.int8]  # 0 or 1; ABSENT where the log does not say
    is_random: npt.NDArray[np.int8]  # 1 where the item was drawn at random; ABSENT where the log does not say
    truth: npt.NDArray[np.float32]  # probability that the item is relevant to the user; nan outside simulations

    def __len__(self) -> int:
        return len(self.events)

    def take(self, index: Whole | npt.NDArray[np.bool_] | slice) -> "LogBlock":
        """Return the chosen rows, in the order of the index."""
        return LogBlock(self.events.take(index), self.long_view[index], self.is_random[index], self.truth[index])

    @classmethod
    def concatenate(cls, parts: Sequence["LogBlock"]) -> "LogBlock":
        """Return all rows of the parts, in order. At least one part."""
        return cls(
            Events.concatenate([part.events for part in parts]),
            np.concatenate([part.long_view for part in parts]),
            np.concatenate([part.is_random for part in parts]),
            np.concatenate([part.truth for part in parts]),
        )


def events_of(
    user_id: Sequence[str],
    item_id: Sequence[str],
    at_ms: Whole,
    *,
    watch_ms: Whole,
    duration_ms: Whole,
    actions: Whole,
    position: Whole,
    surface: Sequence[str],
    author_id: Sequence[str],
    tags: Sequence[str],
    event_id: Sequence[str],
) -> Events:
    """Return columns that hold valid values as events. An empty `event_id` is made of user, item and time."""
    user_key = id_keys(user_id)
    ids = [
        given or _event_id(f"{user}-{item}-{at}")
        for given, user, item, at in zip(event_id, user_id, item_id, at_ms.tolist(), strict=True)
    ]
    return Events(
        event_key=np.array([event_key(id_, user) for id_, user in zip(ids, user_key.tolist(), strict=True)], np.uint64),
        user_key=user_key,
        item_key=id_keys(item_id),
        at_ms=at_ms,
        watch_ms=watch_ms.astype(np.int32),
        duration_ms=duration_ms.astype(np.int32),
        actions=actions.astype(np.uint8),
        position=position.astype(np.int16),
        foreground=np.full(len(ids), ABSENT, np.int8),
        event_id=_texts(ids),
        user_id=_texts(user_id),
        item_id=_texts(item_id),
        surface=_texts(surface),
        author_id=_texts(author_id),
        tags=_texts(tags),
        impression_id=_texts([""] * len(ids)),
    )


def _event_id(text: str) -> str:
    return text if len(text) <= MAX_ID_CHARACTERS else f"{id_key(text):016x}"


def _texts(values: Sequence[str]) -> Texts:
    return np.array(values, dtype=object)

"""Examples that wait before they are learned, so that they can first judge: test, then meta batch, then training data.

Explicit events wait, and with them a sample of the exposures of which nothing was said (one in `SAMPLE`, by the event's
key), because a log of short videos holds almost no explicit negatives to judge against. Weights undo the sampling. What
waits is kept by key, not by row: a row may change owner meanwhile.

A share of all events, chosen by the event's key, is never learned: the gate's holdout keeps the latest of them.
"""

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from contract.hashing import Keys
from trainer.labels import UNLABELLED

SAMPLE = 10


@dataclass(frozen=True)
class Held:
    """Examples by key, columns of length N."""

    user_key: Keys
    item_key: Keys
    label: npt.NDArray[np.int8]
    llr: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: npt.NDArray[np.bool_] | slice) -> "Held":
        """Return the chosen examples."""
        return Held(self.user_key[index], self.item_key[index], self.label[index], self.llr[index])

    @classmethod
    def concatenate(cls, parts: list["Held"]) -> "Held":
        """Return all examples of the parts, in order."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @classmethod
    def empty(cls) -> "Held":
        """Return no examples."""
        none = np.zeros(0, np.uint64)
        return cls(none, none, np.zeros(0, np.int8), np.zeros(0))

    def judge_weights(self) -> npt.NDArray[np.float64]:
        """Return 1 for what was said and SAMPLE for what stands for the unsaid rest. Shape [N]."""
        return np.where(self.label == UNLABELLED, float(SAMPLE), 1.0)


def waits(event_key: Keys, label: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    """Return which events wait: all explicit ones, and one in SAMPLE of the rest. Shapes [N]."""
    return np.asarray((label != UNLABELLED) | ((event_key >> np.uint64(8)) % np.uint64(SAMPLE) == 0))


def held_out(event_key: Keys, share: float) -> npt.NDArray[np.bool_]:
    """Return which events stay out for good. Shape [N]; a function of the key, so a retry decides alike."""
    return np.asarray((event_key >> np.uint64(32)).astype(np.float64) < share * 2.0**32)


class Queue:
    """First in, first out: each batch leaves once `wait_events` more events have been stepped."""

    def __init__(self, wait_events: int) -> None:
        """Make an empty queue."""
        self.wait_events = wait_events
        self._batches: deque[tuple[int, Held]] = deque()  # (events stepped when it came, examples)

    def everything(self) -> Held:
        """Return all that waits: the meta batch."""
        return Held.concatenate([Held.empty(), *(held for _, held in self._batches)])

    def turn(self, stepped: int, arriving: Held) -> Held:
        """Take in what arrives when `stepped` events have been stepped; return what has waited long enough."""
        leaving = [Held.empty()]
        while self._batches and self._batches[0][0] + self.wait_events <= stepped:
            leaving.append(self._batches.popleft()[1])
        if len(arriving):
            self._batches.append((stepped, arriving))
        return Held.concatenate(leaving)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that `restore` needs."""
        came = np.array([at for at, held in self._batches for _ in range(len(held))], np.int64)
        return {"came": came, **_columns(self.everything())}

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state."""
        came, held = state["came"].astype(np.int64), _held(state)
        self._batches = deque((int(at), held.take(came == at)) for at in np.unique(came))


class Holdout:
    """The latest `capacity` events that are never learned."""

    def __init__(self, capacity: int) -> None:
        """Make an empty holdout."""
        self.capacity = capacity
        self.held = Held.empty()

    def add(self, arriving: Held) -> None:
        """Take in more, letting the oldest go."""
        self.held = Held.concatenate([self.held, arriving]).take(slice(-self.capacity, None))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that `restore` needs."""
        return _columns(self.held)

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state."""
        self.held = _held(state)


def _columns(held: Held) -> dict[str, npt.NDArray[np.generic]]:
    return {field.name: getattr(held, field.name) for field in fields(Held)}


def _held(state: dict[str, npt.NDArray[np.generic]]) -> Held:
    return Held(
        state["user_key"].astype(np.uint64),
        state["item_key"].astype(np.uint64),
        state["label"].astype(np.int8),
        state["llr"].astype(np.float64),
    )

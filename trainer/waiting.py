"""Examples that wait before the backbone learns them, so that they can first judge: test, meta batch, training data.

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
from contract.side import SIDE_SLOTS, SideRows
from trainer.labels import UNLABELLED

SAMPLE = 10
Floats = npt.NDArray[np.float64]
_TYPES = {
    "user_key": np.uint64, "item_key": np.uint64, "side": np.int32, "label": np.int8,
    "quantile": np.float64, "llr": np.float64, "cell": np.int16, "watch_counts": np.float64, "offset": np.float64,
    "trust": np.float64,
}  # fmt: skip
_WIDTHS = {"side": SIDE_SLOTS, "llr": 2, "offset": 2}


@dataclass(frozen=True)
class Held:
    """Examples by key, columns of length N, with what was known of them when they came."""

    user_key: Keys
    item_key: Keys
    side: SideRows  # [N, 7]
    label: npt.NDArray[np.int8]
    quantile: Floats  # of the watch; nan without one
    llr: Floats  # [N, 2] what the watch says; 0 where it says nothing
    cell: npt.NDArray[np.int16]  # of the evidence, or NO_CELL
    watch_counts: Floats  # what counts said of the watch, v' of `models.readout`
    offset: Floats  # [N, 2] logits without the backbone
    trust: Floats  # how much what was said counts; 1 where nothing was

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice) -> "Held":
        """Return the chosen examples."""
        return Held(*(getattr(self, field.name)[index] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: list["Held"]) -> "Held":
        """Return all examples of the parts, in order."""
        parts = [part for part in parts if len(part)] or [cls.empty()]
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @classmethod
    def empty(cls) -> "Held":
        """Return no examples."""
        return _NONE

    def judge_weights(self, silence: float) -> Floats:
        """Return `trust` for what was said, and for what stands for the unsaid rest SAMPLE times `silence`. Shape [N].

        `silence` is how far saying nothing counts as a no (see `models.targets.absence_share`).
        """
        return np.where(self.label == UNLABELLED, SAMPLE * silence, self.trust)


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
        return Held.concatenate([held for _, held in self._batches])

    def leaving(self, stepped: int) -> Held:
        """Return what has waited long enough when `stepped` events have been stepped; it waits no more."""
        left = []
        while self._batches and self._batches[0][0] + self.wait_events <= stepped:
            left.append(self._batches.popleft()[1])
        return Held.concatenate(left)

    def add(self, stepped: int, arriving: Held) -> None:
        """Take in what arrives when `stepped` events have been stepped."""
        if len(arriving):
            self._batches.append((stepped, arriving))

    def drop_user(self, user_key: int) -> None:
        """Let nothing of a user wait any more."""
        left = ((at, held.take(held.user_key != np.uint64(user_key))) for at, held in self._batches)
        self._batches = deque((at, held) for at, held in left if len(held))

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
        self._parts: list[Held] = []
        self._count = 0

    @property
    def held(self) -> Held:
        """What is held out now, oldest first."""
        whole = Held.concatenate(self._parts)
        self._parts = [whole.take(slice(max(0, len(whole) - self.capacity), None))]
        self._count = len(self._parts[0])
        return self._parts[0]

    def add(self, arriving: Held) -> None:
        """Take in more, letting the oldest go."""
        if len(arriving):
            self._parts.append(arriving)
            self._count += len(arriving)
            if self._count > 2 * self.capacity:
                _ = self.held  # cuts

    def drop_user(self, user_key: int) -> None:
        """Hold nothing of a user any more."""
        held = self.held
        self._parts = [held.take(held.user_key != np.uint64(user_key))]
        self._count = len(self._parts[0])

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that `restore` needs."""
        return _columns(self.held)

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state."""
        self._parts, self._count = [_held(state)], len(state["label"])


def _columns(held: Held) -> dict[str, npt.NDArray[np.generic]]:
    return {field.name: getattr(held, field.name) for field in fields(Held)}


def _held(state: dict[str, npt.NDArray[np.generic]]) -> Held:
    trusted = {"trust": np.ones(len(state["label"]))} | state  # older checkpoints say nothing of it
    return Held(*(np.array(trusted[name], kind) for name, kind in _TYPES.items()))


_NONE = Held(*(np.zeros((0, _WIDTHS[name]) if name in _WIDTHS else 0, kind) for name, kind in _TYPES.items()))

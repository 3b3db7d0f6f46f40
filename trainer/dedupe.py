"""Finding events that came before: retries with the same event id never train twice (promise P2).

Two generations of keys in open-addressing indexes: when the younger is full it becomes the elder, and the elder's keys
are forgotten. So the latest `window` events are always remembered, twice as many at most, in fixed memory.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from contract.hash_index import MISSING, HashIndex
from contract.hashing import Keys


class Dedupe:
    """Remembers event keys."""

    def __init__(self, window: int) -> None:
        """Remember at least the latest `window` events."""
        self.window = window
        self._elder = HashIndex.for_capacity(window)
        self._younger = HashIndex.for_capacity(window)
        self._in_younger = 0

    def fresh(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Return which events are seen for the first time, and remember them. Shape [N] -> [N].

        Of several alike in one batch the first is fresh.
        """
        first = np.zeros(len(keys), np.bool_)
        first[np.unique(keys, return_index=True)[1]] = True
        unseen: npt.NDArray[np.bool_] = (
            first & (self._younger.find(keys) == MISSING) & (self._elder.find(keys) == MISSING)
        )
        self._remember(keys[unseen])
        return unseen

    def _remember(self, keys: Keys) -> None:
        while len(keys):
            room = self.window - self._in_younger
            now, keys = keys[:room], keys[room:]
            self._younger.add(now, np.zeros(len(now), np.int32))
            self._in_younger += len(now)
            if self._in_younger == self.window:
                self._elder, self._younger = self._younger, HashIndex.for_capacity(self.window)
                self._in_younger = 0

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what `restore` needs."""
        return {"elder": _keys(self._elder), "younger": _keys(self._younger)}

    def restore(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Take over a state made with the same window."""
        for name in ("elder", "younger"):
            keys = state[name].astype(np.uint64)
            index = HashIndex.for_capacity(self.window)
            index.add(keys, np.zeros(len(keys), np.int32))
            setattr(self, f"_{name}", index)
        self._in_younger = len(state["younger"])


def _keys(index: HashIndex) -> Keys:
    return np.asarray(index.keys[index.keys != 0])

"""An open-addressing index from 64-bit keys to int32 values, held in two flat NumPy arrays.

The same two arrays are written by the trainer, stored in a version, memory-mapped by the service and searched there
by NumPy alone: no dict, no Python loop over ids. A search begins at the first slot of a bucket of eight, chosen by the
key, and goes on slot by slot. At most half of the slots are in use, so one vectorised look at whole buckets ends nearly
all searches.
"""

import numpy as np
import numpy.typing as npt

from contract.hashing import Keys

Values = npt.NDArray[np.int32]

MISSING = -1
_EMPTY = np.uint64(0)
_REMOVED = np.uint64(1)
LEAST_SLOTS = 8
_BUCKET_BITS = 3
_BUCKET = 1 << _BUCKET_BITS  # slots looked at together, one line of a cache; at half load 1 bucket in 50 is full


class HashIndex:
    """Maps distinct uint64 keys (not 0 or 1) to int32 values; linear probing over a power of two of slots."""

    def __init__(self, keys: Keys, values: Values) -> None:
        """Open the index on its two arrays, which may be read-only memory maps. Shapes [slots], slots = 2^k."""
        self.keys = keys
        self.values = values
        self._mask = len(keys) - 1
        self._buckets = keys.reshape(-1, _BUCKET)
        self._removed = 0

    @classmethod
    def for_capacity(cls, capacity: int) -> "HashIndex":
        """Return an empty index that holds `capacity` keys at half load or less."""
        slots = 1 << max(3, (2 * capacity - 1).bit_length())
        return cls(np.zeros(slots, np.uint64), np.full(slots, MISSING, np.int32))

    def find(self, keys: Keys) -> Values:
        """Return the value of each key, MISSING (-1) where it is absent. Shape [N] -> [N]."""
        found = np.full(len(keys), MISSING, np.int32)
        home = self._home(keys)
        near = self._buckets.take(home >> _BUCKET_BITS, axis=0, mode="clip")  # [N, 8]: nearly every search ends here
        row, column = (near == keys[:, None]).nonzero()
        found[row] = self.values.take(home.take(row) + column, mode="clip")
        if len(row) == len(keys):
            return found
        todo = (found == MISSING).nonzero()[0]
        todo = todo[near.take(todo, axis=0).all(1)]  # their buckets have no empty slot
        wanted, slot = keys[todo], home[todo]
        while todo.size:
            seen = self.keys[slot]
            hit = seen == wanted
            found[todo[hit]] = self.values[slot[hit]]
            going = np.flatnonzero(~hit & (seen != _EMPTY))
            todo, wanted, slot = todo[going], wanted[going], (slot[going] + 1) & self._mask
        return found

    def find_one(self, key: int) -> int:
        """Return the value of one key, MISSING where it is absent; for one this is ten times as fast as `find`."""
        slot = key & self._mask & -_BUCKET
        while (seen := int(self.keys[slot])) != key:
            if not seen:
                return MISSING
            slot = (slot + 1) & self._mask
        return int(self.values[slot])

    def add(self, keys: Keys, values: Values) -> None:
        """Add keys that are distinct and absent. Shapes [N]; the caller keeps to the capacity."""
        slot = self._home(keys)
        while keys.size:
            free = self.keys[slot] <= _REMOVED
            self.keys[slot[free]] = keys[free]  # of several keys that want one slot, one wins
            won = free & (self.keys[slot] == keys)
            self.values[slot[won]] = values[won]
            keys, values, slot = keys[~won], values[~won], (slot[~won] + 1) & self._mask

    def remove(self, keys: Keys) -> None:
        """Remove keys that are present. Rebuilds in place once removed slots would slow a search."""
        slot = self._slots_of(keys)
        self.keys[slot] = _REMOVED
        self.values[slot] = MISSING
        self._removed += len(keys)
        if self._removed > len(self.keys) // 8:
            self._rebuild()

    def _home(self, keys: Keys) -> npt.NDArray[np.int64]:
        return (keys & np.uint64(self._mask & -_BUCKET)).astype(np.int64)

    def _slots_of(self, keys: Keys) -> npt.NDArray[np.int64]:
        slots = self._home(keys)
        while (wrong := np.flatnonzero(self.keys[slots] != keys)).size:
            slots[wrong] = (slots[wrong] + 1) & self._mask
        return slots

    def _rebuild(self) -> None:
        live = self.keys > _REMOVED
        keys, values = self.keys[live], self.values[live]
        self.keys.fill(_EMPTY)
        self.values.fill(MISSING)
        self._removed = 0
        self.add(keys, values)

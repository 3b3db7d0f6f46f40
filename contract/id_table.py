"""Which row of the embedding tables an external id owns.

Row 0 stands for every unknown id. An id is admitted at its `admit_after`-th sighting and keeps its row until the table
is full and it is among the least recently seen, so memory is fixed whatever ids arrive (promise P10). No two ids share
a row other than 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.hash_index import HashIndex
from contract.hashing import Keys

Rows = npt.NDArray[np.int32]

UNKNOWN_ROW = 0


def rows_of(index: HashIndex, keys: Keys) -> Rows:
    """Return the row of each key, 0 where it is unknown. Shape [N] -> [N]; what the service calls per request."""
    rows: Rows = np.maximum(index.find(keys), UNKNOWN_ROW)
    return rows


@dataclass(frozen=True)
class Sighting:
    """What one batch of sightings did: each id's row (0 = unknown), and the rows that changed owner."""

    rows: Rows  # [N]
    reassigned: Rows  # rows admitted in this batch: their weights start anew


class IdTable:
    """Fixed capacity, admission after `admit_after` sightings (at most 255), expiry of the least recently seen.

    Sightings of ids not yet admitted are counted in a direct-mapped waiting room of two slots an admitted id: a newer
    id takes an older one's slot, so a flood of random ids costs no memory and at worst delays admission.
    """

    def __init__(self, capacity: int, admit_after: int = 1) -> None:
        """Make an empty table of `capacity` rows beside row 0."""
        self.capacity = capacity
        self.admit_after = admit_after
        self.index = HashIndex.for_capacity(capacity)
        self.row_count = 1  # rows in use, row 0 included; rows are handed out in order
        self._key_of_row = np.zeros(capacity + 1, np.uint64)
        self._last_seen = np.zeros(capacity + 1, np.int64)
        self._free: list[int] = []
        waiting = 1 << max(3, (2 * capacity - 1).bit_length())
        self._waiting_key = np.zeros(waiting, np.uint64)
        self._waiting_count = np.zeros(waiting, np.uint8)

    @property
    def known_ids(self) -> int:
        """Ids that own a row now."""
        return self.row_count - 1 - len(self._free)

    @property
    def free_rows(self) -> npt.NDArray[np.int64]:
        """Rows whose owner expired and that wait for another. Shape [N], in no order."""
        return np.array(self._free, np.int64)

    def rows(self, keys: Keys) -> Rows:
        """Return the row of each key without counting a sighting. Shape [N] -> [N]."""
        return rows_of(self.index, keys)

    def keys(self, rows: npt.NDArray[np.int64]) -> Keys:
        """Return the key that owns each row; 0 for a row without an owner. Shape [N] -> [N]."""
        return self._key_of_row[rows]

    def see(self, keys: Keys, tick: int) -> Sighting:
        """Count one sighting of each key at time `tick` (any rising integer), admitting those that are due.

        Shape [N], duplicates allowed. Rows already in this batch never expire in it while capacity lasts.
        """
        rows = self.rows(keys)
        unknown = np.flatnonzero(rows == UNKNOWN_ROW)
        self._last_seen[rows] = tick  # row 0 never expires, so its time does not matter
        if not len(unknown):
            return Sighting(rows, np.zeros(0, np.int32))
        distinct, inverse, counts = np.unique(keys[unknown], return_inverse=True, return_counts=True)
        due = self._due(distinct, counts)
        admitted = np.zeros(len(distinct), np.int32)
        reassigned = self._admit(distinct[due], tick)
        admitted[np.flatnonzero(due)[: len(reassigned)]] = reassigned
        rows[unknown] = admitted[inverse]
        return Sighting(rows, reassigned)

    def forget(self, key: int) -> int:
        """Take an id's row from it, and forget its sightings; return the row, 0 if it had none."""
        row = max(self.index.find_one(key), UNKNOWN_ROW)
        self._waiting_count[self._waiting_key == key] = 0
        self._waiting_key[self._waiting_key == key] = 0
        if row:
            self.index.remove(np.array([key], np.uint64))
            self._key_of_row[row] = 0
            self._free.append(row)
        return row

    def _due(self, keys: Keys, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Count sightings of distinct new ids in the waiting room; return which have been seen often enough."""
        if self.admit_after <= 1:
            return np.ones(len(keys), np.bool_)
        slot = (keys & np.uint64(len(self._waiting_key) - 1)).astype(np.int64)
        before = np.where(self._waiting_key[slot] == keys, self._waiting_count[slot], 0)
        total = np.minimum(before + counts, 255)
        self._waiting_key[slot] = keys
        stays = self._waiting_key[slot] == keys  # of several ids that share a slot, one stays
        due = np.asarray(total >= self.admit_after)
        self._waiting_count[slot[stays]] = np.where(due, 0, total)[stays]  # counted anew if it ever loses its row
        return due

    def _admit(self, keys: Keys, tick: int) -> Rows:
        """Give rows to new keys, as many as can be had; return the rows in the order of the keys."""
        fresh = self.capacity + 1 - self.row_count
        if len(keys) > len(self._free) + fresh:
            self._expire(len(keys) - len(self._free) - fresh, tick)
        count = min(len(keys), len(self._free) + fresh)
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        taken = np.arange(self.row_count, self.row_count + count - len(reused))
        self.row_count += len(taken)
        rows = np.concatenate([np.array(reused, np.int64), taken]).astype(np.int32)
        self.index.add(keys[:count], rows)
        self._key_of_row[rows] = keys[:count]
        self._last_seen[rows] = tick
        return rows

    def _expire(self, needed: int, tick: int) -> None:
        """Free the least recently seen rows: at least `needed`, in bulk so that the cost is shared by many."""
        candidates = np.flatnonzero((self._key_of_row != 0) & (self._last_seen < tick))
        count = min(max(needed, self.capacity // 64), len(candidates))
        oldest = candidates[np.argsort(self._last_seen[candidates], kind="stable")[:count]]
        self.index.remove(self._key_of_row[oldest])
        self._key_of_row[oldest] = 0
        self._free.extend(int(row) for row in oldest[::-1])

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that `restore` needs, as flat arrays: views, to be written before the next `see`."""
        return {
            "key_of_row": self._key_of_row[: self.row_count],
            "last_seen": self._last_seen[: self.row_count],
            "free": self.free_rows,
            "waiting_key": self._waiting_key,
            "waiting_count": self._waiting_count,
        }

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state made by a table of the same capacity."""
        key_of_row = state["key_of_row"].astype(np.uint64)
        self.row_count = len(key_of_row)
        self._key_of_row[: self.row_count] = key_of_row
        self._key_of_row[self.row_count :] = 0
        self._last_seen[: self.row_count] = state["last_seen"]
        self._free = [int(row) for row in state["free"]]
        self._waiting_key[:] = state["waiting_key"]
        self._waiting_count[:] = state["waiting_count"]
        rows = np.flatnonzero(self._key_of_row).astype(np.int32)
        self.index = HashIndex.for_capacity(self.capacity)
        self.index.add(self._key_of_row[rows], rows)

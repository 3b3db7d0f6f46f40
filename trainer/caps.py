"""Caps: how much of what one user sends is learned (promise P10).

Four limits, each a number of events within a window of the log's own time: of a user, of a user's explicit words, of a
pair of user and item, and of a pair's words. A viewer likes a video once; whoever says so five thousand times tells
the model no more. What is over a limit is scored and logged, and teaches nothing.

A window begins with a key's first event in it. Counts are of whole 64-bit keys, in buckets of eight slots: a key that
finds its bucket full takes the place of the one with the fewest events, and is counted from one. So memory is fixed,
no collision ever caps anybody, and ids that come once push out each other, not those that come often. What is over is a
function of the log alone: of the order of events and the log's time, not of when the trainer read or crashed (P3).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from contract.events import Events
from contract.hashing import RESERVED_KEYS, Keys
from trainer.settings import CapSettings
from trainer.stateful import State, gather, scatter

Mask = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]
_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(cache=True)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NO_CAPS = CapSettings(cap_user_events=0, cap_user_words=0, cap_pair_events=0, cap_pair_words=0, cap_slots=8)
WAYS = 8  # slots of a bucket
_MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class Allowance:
    """How many events of a key there were within its window; at most `most` are allowed, 0 = any number."""

    def __init__(self, most: int, window_ms: int, slots: int) -> None:
        """Make an empty table of at least `slots` slots."""
        self.most = most
        self.window_ms = window_ms
        buckets = 1 << max(0, (slots // WAYS - 1).bit_length())
        self._key = np.zeros((buckets, WAYS), np.uint64)
        self._began = np.zeros((buckets, WAYS), np.int64)
        self._count = np.zeros((buckets, WAYS), np.int32)
        self._clock = np.zeros(1, np.int64)  # the latest time seen; it never goes back

    def over(self, keys: Keys, now_ms: Times) -> Mask:
        """Count events in their order; return which are over the limit. Shapes [N] -> [N]."""
        if not self.most:
            return np.zeros(len(keys), np.bool_)
        ordinal = np.empty(len(keys), np.int64)
        _count_in_order(keys, now_ms, self.window_ms, self._clock, self._key, self._began, self._count, ordinal)
        return ordinal > self.most

    def forget(self, keys: Keys) -> None:
        """Count keys as if they had never come. Shape [N]."""
        self._count[np.isin(self._key, keys)] = 0
        self._key[self._count == 0] = 0

    def state(self) -> State:
        """Return what `restore` needs: the slots whose windows are still open."""
        slot = np.flatnonzero((self._count > 0) & (self._clock - self._began < self.window_ms))
        columns: State = {"key": self._key, "began": self._began, "count": self._count}
        sizes = {"clock": self._clock, "buckets": np.array([len(self._key)])}
        return {"slot": slot, **sizes, **{name: whole.reshape(-1)[slot] for name, whole in columns.items()}}

    def restore(self, state: State) -> None:
        """Take over a state; one of a table of another size, or of before there were caps, is left: all begin anew."""
        if not state or int(state["buckets"][0]) != len(self._key):
            return
        self._clock[:] = state["clock"]
        for name, whole in (("key", self._key), ("began", self._began), ("count", self._count)):
            whole.reshape(-1)[:] = 0
            whole.reshape(-1)[state["slot"]] = state[name]


class Caps:
    """The four limits. Its state goes with a checkpoint, like that of what finds duplicates."""

    def __init__(self, settings: CapSettings) -> None:
        """Begin with nothing counted."""
        slots = settings.cap_slots
        self.user_events = Allowance(settings.cap_user_events, HOUR_MS, slots)
        self.user_words = Allowance(settings.cap_user_words, HOUR_MS, slots)
        self.pair_events = Allowance(settings.cap_pair_events, HOUR_MS, slots)
        self.pair_words = Allowance(settings.cap_pair_words, DAY_MS, slots)

    def over(self, events: Events, acknowledged_ms: Times) -> Mask:
        """Count events, and return which are over a limit. `acknowledged_ms` [N] is the log's time. Shape [N]."""
        pair = pair_keys(events.user_key, events.item_key)
        over = self.user_events.over(events.user_key, acknowledged_ms)
        over |= self.pair_events.over(pair, acknowledged_ms)
        said = np.flatnonzero(events.actions)
        if len(said):
            when = acknowledged_ms[said]
            over[said] |= self.user_words.over(events.user_key[said], when)
            over[said] |= self.pair_words.over(pair[said], when)
        return over

    def forget(self, user_key: int, item_keys: Keys) -> None:
        """Forget a user, and the pairs with these items."""
        key = np.array([user_key], np.uint64)
        pairs = pair_keys(np.repeat(key, len(item_keys)), item_keys)
        for table, keys in (
            (self.user_events, key),
            (self.user_words, key),
            (self.pair_events, pairs),
            (self.pair_words, pairs),
        ):
            table.forget(keys)

    def state(self) -> State:
        """Return what `restore` needs."""
        return gather(self._parts())

    def restore(self, state: State) -> None:
        """Take over a state."""
        scatter(self._parts(), state)

    def _parts(self) -> dict[str, Allowance]:
        return vars(self)


def pair_keys(user_key: Keys, item_key: Keys) -> Keys:
    """Return one 64-bit key for each pair of user and item. Shapes [N], [N] -> [N]."""
    mixed = user_key * _MIX[0] ^ ((item_key << np.uint64(31)) | (item_key >> np.uint64(33))) * _MIX[1]
    mixed ^= mixed >> np.uint64(29)
    return np.asarray(np.maximum(mixed * _MIX[0], np.uint64(RESERVED_KEYS)))


@_compiled
def _count_in_order(keys, now_ms, window_ms, clock, key_of, began, count, ordinal):  # type: ignore[no-untyped-def]
    """Write the place of each event among those of its key in its window, from 1.

    A slot whose window is over is as good as an empty one, and the first of those is taken: so a table that came from
    a checkpoint, which holds no such slots, goes on exactly as the one that it was made from.
    """
    mask = np.uint64(len(key_of) - 1)
    for n in range(len(keys)):
        clock[0] = max(clock[0], now_ms[n])
        bucket = np.int64((keys[n] >> np.uint64(8)) & mask)
        place, free, weakest = -1, -1, 0
        for slot in range(WAYS):
            if count[bucket, slot] == 0 or clock[0] - began[bucket, slot] >= window_ms:
                if free < 0:
                    free = slot
            elif key_of[bucket, slot] == keys[n]:
                place = slot
            else:
                fewer = count[bucket, slot] - count[bucket, weakest]
                if fewer < 0 or (fewer == 0 and began[bucket, slot] < began[bucket, weakest]):
                    weakest = slot
        if place < 0:
            place = free if free >= 0 else weakest
            key_of[bucket, place], began[bucket, place], count[bucket, place] = keys[n], clock[0], 0
        count[bucket, place] = min(count[bucket, place] + 1, 2_000_000_000)
        ordinal[n] = count[bucket, place]

"""From entries of the log to batches of events that were not seen before; what cannot be read is put aside (P2, P8)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.blocks import decode_block, decode_blocks, events_in
from contract.errors import CorruptBlock
from contract.event_log import Entry
from contract.events import Events
from trainer.dedupe import Dedupe

Times = npt.NDArray[np.int64]  # of acknowledgement, by the log's clock, in ms


@dataclass(frozen=True)
class Fresh:
    """Events that are read for the first time. At least one."""

    events: Events
    acknowledged_ms: Times  # [N]

    def take(self, part: slice | npt.NDArray[np.bool_]) -> "Fresh":
        """Return a part of them."""
        return Fresh(self.events.take(part), self.acknowledged_ms[part])


@dataclass
class Passed:
    """Events that were read and not learned."""

    duplicates: int = 0
    dead: int = 0


class Reader:
    """Reads windows. Its state is what it remembers for finding duplicates."""

    def __init__(self, batch_events: int, dedupe_events: int, put_aside: Callable[[Entry, str], None]) -> None:
        """Cut batches of `batch_events`; tell `put_aside` of each entry that cannot be decoded, and why."""
        self.dedupe = Dedupe(dedupe_events)
        self._size = batch_events
        self._put_aside = put_aside
        self._passed = Passed()

    def take_passed(self) -> Passed:
        """Return what was passed over since the last call."""
        passed, self._passed = self._passed, Passed()
        return passed

    def batches(self, entries: list[Entry]) -> Iterator[Fresh]:
        """Yield the fresh events of a window in batches: all of `batch_events` but the last, however they are stored.

        A window may hold far more than a batch, so it is decoded bit by bit.
        """
        waiting: list[Fresh] = []
        for some in _bits(entries, self._size):
            fresh = self._fresh(some)
            if fresh is None:
                continue
            waiting.append(fresh)
            if sum(len(part.events) for part in waiting) >= self._size:
                joined = _joined(waiting)
                whole = len(joined.events) - len(joined.events) % self._size
                for start in range(0, whole, self._size):
                    yield joined.take(slice(start, start + self._size))
                waiting = [joined.take(slice(whole, None))]
        if waiting:
            joined = _joined(waiting)
            if len(joined.events):
                yield joined

    def _fresh(self, entries: list[Entry]) -> Fresh | None:
        """Decode entries, put aside what cannot be, drop duplicates; None if that leaves nothing."""
        try:
            events = decode_blocks([entry.block for entry in entries])
        except CorruptBlock:
            entries = [entry for entry in entries if self._is_sound(entry)]
            if not entries:
                return None
            events = decode_blocks([entry.block for entry in entries])
        counts = [events_in(entry.block) for entry in entries]
        read = Fresh(events, np.repeat(np.array([entry.id.ms for entry in entries], np.int64), counts))
        fresh = self.dedupe.fresh(events.event_key)
        if fresh.all():
            return read
        self._passed.duplicates += int((~fresh).sum())
        return read.take(fresh)

    def _is_sound(self, entry: Entry) -> bool:
        """Whether an entry can be decoded; if not, it is put aside."""
        try:
            decode_block(entry.block)
        except CorruptBlock as error:
            self._put_aside(entry, str(error))
            self._passed.dead += entry.events
            return False
        return True


def _bits(entries: list[Entry], events: int) -> Iterator[list[Entry]]:
    """Cut entries, each time after some that together say they hold so many `events` or more."""
    some: list[Entry] = []
    said = 0
    for entry in entries:
        some.append(entry)
        said += entry.events
        if said >= events:
            yield some
            some, said = [], 0
    if some:
        yield some


def _joined(parts: list[Fresh]) -> Fresh:
    return Fresh(
        Events.concatenate([part.events for part in parts]), np.concatenate([part.acknowledged_ms for part in parts])
    )

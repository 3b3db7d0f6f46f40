"""From entries of the log to batches of events that were not seen before; what cannot be read is put aside (P2, P8)."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.blocks import decode_block, decode_blocks, encode_block, events_in
from contract.dead_letters import DeadLetter, Reason, reason_of
from contract.errors import CorruptBlock
from contract.event_log import Entry, ReadResult
from contract.events import MAX_AT_MS, Events
from trainer.dedupe import Dedupe

AHEAD_MS = 5_000  # ids this far ahead of the log's clock are not waited for: it was set back
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

    def __init__(
        self,
        batch_events: int,
        dedupe_events: int,
        put_aside: Callable[[DeadLetter], None],
        condemned: Collection[int] = (),
    ) -> None:
        """Cut batches of `batch_events`; tell `put_aside` of what cannot be used, and why.

        That is each entry that cannot be decoded, and each event whose key is `condemned`.
        """
        self.dedupe = Dedupe(dedupe_events)
        self._size = batch_events
        self._put_aside = put_aside
        self._condemned = condemned
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
        # A stranger may give an entry any id: beyond the last time that can be told it is told as that.
        acknowledged = np.array([min(entry.id.ms, MAX_AT_MS) for entry in entries], np.int64)
        read = Fresh(events, np.repeat(acknowledged, counts))
        if self._condemned:
            read = self._without_condemned(read, entries, counts)
        fresh = self.dedupe.fresh(read.events.event_key)
        if fresh.all():
            return read
        self._passed.duplicates += int((~fresh).sum())
        return read.take(fresh)

    def _without_condemned(self, read: Fresh, entries: list[Entry], counts: list[int]) -> Fresh:
        """Put condemned events aside, each alone. Duplicates of them are not looked for: any of them would kill."""
        condemned = np.isin(read.events.event_key, np.array(sorted(self._condemned), np.uint64))
        ends = np.cumsum(counts)
        for place in np.flatnonzero(condemned).tolist():
            which = int(np.searchsorted(ends, place, side="right"))
            source = f"{entries[which].source}#{place - int(ends[which]) + counts[which]}"
            block = encode_block(read.events.take(slice(place, place + 1)))
            self._put_aside(DeadLetter(source, Reason.KILLED, "the trainer died while it learned this event", 1, block))
            self._passed.dead += 1
        return read.take(~condemned)

    def _is_sound(self, entry: Entry) -> bool:
        """Whether an entry can be decoded; if not, it is put aside."""
        try:
            decode_block(entry.block)
        except CorruptBlock as error:
            self._put_aside(DeadLetter(entry.source, reason_of(entry.block), str(error), entry.events, entry.block))
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


class Reach:
    """How many entries a read asks for, and which of them may be learned: those of windows that are over."""

    def __init__(self, read_entries: int, window_ms: int) -> None:
        """Ask for `read_entries` a partition at first; a window is `window_ms` of server time."""
        self.count = self._least = read_entries
        self._window_ms = window_ms

    def usable(self, read: ReadResult) -> tuple[list[Entry], int]:
        """Return the entries of windows that are over, and the time below which nothing is left out.

        If not even one window came whole, the next read asks for more.
        """
        frontier_ms = read.complete_before_ms // self._window_ms * self._window_ms
        usable = over(read, frontier_ms)
        cut_short = len(read.entries) >= self.count
        self.count = 2 * self.count if cut_short and not usable else self._least
        return usable, frontier_ms


def over(read: ReadResult, frontier_ms: int) -> list[Entry]:
    """Return the entries that may be learned now, of each partition those before the first that may not. Pure.

    Those are the entries below the frontier, and those with ids far ahead of the server's clock: it was set back, and
    the partition's next ids stay where they are until it has caught up, an hour perhaps.
    """
    usable, held = list[Entry](), set[int]()
    for entry in read.entries:
        if entry.partition not in held and (entry.id.ms < frontier_ms or entry.id.ms > read.now_ms + AHEAD_MS):
            usable.append(entry)
        else:
            held.add(entry.partition)
    return usable

"""What the console shows live: the service's own ticks, and the journal that the trainer keeps.

A tick is taken each second and the latest quarter of an hour kept, whether or not anybody looks. The journal is read
only while somebody does, in a worker thread and with a short deadline; a log that is away stops nothing but its
entries, and when they can be read readers are greeted anew. All readers are handed the same bytes. One that does not
take them is let go and may connect again: nobody's slowness costs memory.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import structlog
from starlette.exceptions import HTTPException

from contract.errors import LogUnavailable
from contract.event_log import StreamId
from contract.journal import KEPT, KINDS, Journal
from service.console.tick import Pulse
from service.problems import RETRY_AFTER

MOST_STREAMS = 32
MOST_WAITING = 64  # pieces that wait for one reader, half a minute of them
TICK_S = 1.0
LOOK_S = 0.5
SPAN_MS = 900_000  # that a new reader is told of
_STILL_HERE_TICKS = 15
_TICK = "tick"
_LISTS = {_TICK: "ticks", "progress": "progress", "direction": "directions", "version": "versions"}
log = structlog.get_logger()


class Told(NamedTuple):
    """Something that readers are told, as JSON."""

    kind: str
    at_ms: int
    content: bytes


class Stream:
    """What one reader has not taken yet."""

    def __init__(self) -> None:
        """Begin empty, and take nothing before `greet`."""
        self.over = asyncio.Event()  # nothing more is to be sent
        self._is_greeted = False
        self._news = asyncio.Event()
        self._waiting: deque[bytes] = deque()

    def greet(self, hello: bytes) -> None:
        """Begin, or begin anew, with what there was; what waits is in it."""
        self._is_greeted = True
        self._waiting.clear()
        self.put(hello)

    def put(self, piece: bytes) -> None:
        """Add a piece; a reader that has left too many is let go."""
        if len(self._waiting) >= MOST_WAITING:
            self.end()
        if self._is_greeted and not self.over.is_set():
            self._waiting.append(piece)
            self._news.set()

    def end(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self.over.set()
        self._news.set()

    async def take(self) -> bytes:
        """Wait for pieces and return all that there are; nothing once it is over."""
        await self._news.wait()
        self._news.clear()
        pieces = b"".join(self._waiting)
        self._waiting.clear()
        return pieces


class Feed:
    """The live data of one process. Used in one event loop."""

    def __init__(self, pulse: Pulse, journal: Journal | None) -> None:
        """Take ticks of `pulse`; without a journal there is nothing else."""
        self._pulse = pulse
        self._journal = journal
        self._kept: dict[str, deque[Told]] = {kind: deque(maxlen=KEPT) for kind in _LISTS}
        self._streams: set[Stream] = set()
        self._looking = asyncio.Lock()
        self._wanted = asyncio.Event()  # somebody looks
        self._position: Mapping[str, StreamId] | None = None  # in the journal; None where it has not been read
        self._ticks = 0
        self._is_ended = False

    @property
    def open_streams(self) -> int:
        """How many readers there are."""
        return len(self._streams)

    async def watch(self) -> None:
        """Take ticks until cancelled."""
        while True:
            try:
                self.tick()
            except Exception:  # a fault of ours must not end the service
                log.exception("tick_failed")
            await asyncio.sleep(TICK_S)

    async def follow(self) -> None:
        """Read the journal until cancelled, while somebody looks."""
        while True:
            await self._wanted.wait()
            try:
                await self._look()
            except Exception:
                log.exception("journal_look_failed")
            await asyncio.sleep(LOOK_S)

    def tick(self) -> None:
        """Take one tick and tell it."""
        tick = self._pulse.take()
        self._ticks += 1
        pieces = self._keep([Told(_TICK, tick.at_ms, msgspec.json.encode(tick))])
        self._tell(pieces if self._ticks % _STILL_HERE_TICKS else b": still here\n\n" + pieces)

    async def open(self) -> Stream:
        """Return a new stream that begins with what there was; `close` has to follow. Raises HTTPException 503."""
        if self._is_ended:
            raise HTTPException(503, "this process is about to stop; ask another", RETRY_AFTER)
        if len(self._streams) >= MOST_STREAMS:
            raise HTTPException(503, f"{MOST_STREAMS} readers look on, the bound; close a page", {"retry-after": "15"})
        stream = Stream()
        self._streams.add(stream)
        self._wanted.set()
        try:
            if self._position is None:
                await self._look()
        except BaseException:
            self.close(stream)
            raise
        stream.greet(self._hello())
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a stream; after the last, the journal too."""
        stream.end()
        self._streams.discard(stream)
        if not self._streams:
            self._wanted.clear()
            self._forget()

    def end(self) -> None:
        """End all streams and open no more."""
        self._is_ended = True
        for stream in self._streams:
            stream.end()

    async def _look(self) -> None:
        """Read what is new in the journal, or all that is of interest where nothing has been read yet."""
        if self._journal is None:
            return
        async with self._looking:
            before = self._position
            try:
                told, position = await asyncio.to_thread(_told_after, self._journal, before or {})
            except LogUnavailable:
                return  # `log_up` says so in every tick; the next look may do
            if self._position is not before or not self._streams:
                return  # forgotten meanwhile
            self._position = position
            pieces = self._keep(told)
            if before is None:
                for stream in self._streams:
                    stream.greet(self._hello())
            elif told:
                self._tell(pieces)

    def _keep(self, told: Iterable[Told]) -> bytes:
        """Keep what was told for readers to come; return it as events."""
        events = []
        for each in told:
            self._kept[each.kind].append(each)
            events.append(_event(each.kind, each.content))
        return b"".join(events)

    def _tell(self, pieces: bytes) -> None:
        for stream in self._streams:
            stream.put(pieces)

    def _hello(self) -> bytes:
        since_ms = time.time_ns() // 1_000_000 - SPAN_MS
        lists = {
            _LISTS[kind]: [msgspec.Raw(each.content) for each in kept if each.at_ms >= since_ms]
            for kind, kept in self._kept.items()
        }
        return _event("hello", msgspec.json.encode(lists))

    def _forget(self) -> None:
        self._position = None
        for kind in KINDS:
            self._kept[kind].clear()


def _told_after(journal: Journal, position: Mapping[str, StreamId]) -> tuple[list[Told], Mapping[str, StreamId]]:
    """Read the journal, in a worker thread. Raises LogUnavailable."""
    read = journal.after(position)
    return [Told(entry.KIND, entry.at_ms, msgspec.json.encode(entry)) for entry in read.entries], read.position


def _event(kind: str, content: bytes) -> bytes:
    """Return a server-sent event; JSON has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), content)

"""Group commit: the events of requests that come at once are stored together (P1 as if each came alone).

While one append is on its way, the next group gathers: nobody waits for company, and the busier it is, the more
requests share one transaction and one fsync. Each request is answered once the server has confirmed the transaction
that holds all of its events; a failed append fails the requests in it and no others.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from contract.async_event_log import NOT_TRACED
from contract.blocks import Pieces, encode_partitions, pieces_of
from contract.errors import LogError, LogUnavailable
from contract.events import EventLists, Events
from contract.hashing import id_keys, partitions_of
from contract.trace_parents import MOST_PARENTS
from service.backlog import AppendBacklog
from service.deadline import Deadline

if TYPE_CHECKING:
    from contract.open_telemetry import Span

MAX_GROUP_EVENTS = 8_192
_GROUPS_AT_ONCE = 4  # transactions that share a round trip and an fsync
MAX_WAITING_BYTES = 64 * 1_048_576  # of bodies; packed they take less
_PACKED_AT_ONCE = 1_024  # events: fewer cost more each, more hold up the event loop for over 2 ms


class EventSink(Protocol):
    """Where events are appended: `AsyncEventLog`, in this loop or in a thread."""

    async def append(self, blocks: Mapping[int, tuple[int, bytes]], traces: Mapping[int, bytes]) -> None:
        """Append {partition: (events, block)}; return once it is on disk. Raises LogError."""


class _Traced(NamedTuple):
    """A request that is traced."""

    span: "Span"
    events: EventLists

    def partitions(self) -> list[int]:
        """Return the partitions that its events go to."""
        found: list[int] = np.unique(partitions_of(id_keys(self.events.user_id))).tolist()
        self.span.note({"winnow.partitions": len(found)})
        return found


class _Group:
    """Requests whose events are appended in one transaction."""

    def __init__(self) -> None:
        self.events = 0
        self.body_bytes = 0
        self.said: list[Events] = []  # those with explicit actions
        self._requests: list[asyncio.Future[None]] = []
        self._pieces: list[Pieces] = []
        self._loose: list[EventLists] = []  # not packed yet
        self._loose_events = 0
        self._traced: list[_Traced] = []

    def join(self, events: EventLists, body_bytes: int, span: "Span | None") -> asyncio.Future[None]:
        """Take in a request; the future says how it ends."""
        if span is not None and len(self._traced) < MOST_PARENTS:
            self._traced.append(_Traced(span, events))
        self.events += events.number
        self.body_bytes += body_bytes
        self._loose.append(events)
        self._loose_events += events.number
        if self._loose_events >= _PACKED_AT_ONCE:
            self._pack()
        request: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests.append(request)
        return request

    def is_deserted(self) -> bool:
        """Whether every request is overdue or its client has gone."""
        return all(request.done() for request in self._requests)

    def blocks(self) -> dict[int, tuple[int, bytes]]:
        """Return all events as {partition: (events, block)}."""
        self._pack()
        return encode_partitions(self._pieces)

    def traces(self) -> Mapping[int, bytes]:
        """Return the field `trace` of each partition that has events of a traced request."""
        if not self._traced:
            return NOT_TRACED
        found: defaultdict[int, list[bytes]] = defaultdict(list)
        for traced in self._traced:
            for partition in traced.partitions():
                found[partition].append(traced.span.traceparent)
            traced.span.note({"winnow.group_events": self.events})
        return {partition: b" ".join(parents) for partition, parents in found.items()}

    def confirm(self) -> None:
        """Let the requests answer."""
        for request in self._requests:
            if not request.done():
                request.set_result(None)

    def fail(self, error: Exception) -> None:
        """Let the requests raise: each an error of its own, for they do so in tasks of their own."""
        for request in self._requests:
            if not request.done():
                request.set_exception(type(error)(*error.args) if isinstance(error, LogError) else error)

    def _pack(self) -> None:
        if self._loose:
            events = Events.from_lists(EventLists.joined(self._loose))
            self._pieces.append(pieces_of(events))
            if (said := events.actions != 0).any():
                self.said.append(events.take(said))
            self._loose, self._loose_events = [], 0


class Intake:
    """Where valid events wait for the log. To be used in one event loop."""

    def __init__(
        self,
        event_log: EventSink | None,
        timeout_s: float,
        on_said: Callable[[Events], None],
        backlog: AppendBacklog | None = None,
    ) -> None:
        """Store in `event_log`; a request waits `timeout_s` at most. `on_said` is told explicit actions once stored.

        `backlog` is told what waits, for the door to look at.
        """
        self._log = event_log
        self._backlog = backlog or AppendBacklog(timeout_s)
        self._deadline = Deadline(timeout_s)
        self._on_said = on_said
        self._groups: deque[_Group] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None

    async def store(self, events: EventLists, body_bytes: int, span: "Span | None" = None) -> None:
        """Return once the events, which came as `body_bytes`, are on disk. `span` is the request's, if it is traced.

        Raises LogUnavailable if there is no confirmation in time (they may be stored all the same: retry with the same
        event ids) or too much waits, LogFull if the log holds too many events that are not yet learned.
        """
        if self._log is None:
            raise LogUnavailable("this service has no event log; set WINNOW_REDIS_URL")
        if self._waiting_bytes + body_bytes > MAX_WAITING_BYTES:
            raise LogUnavailable(
                f"{self._waiting_bytes} bytes of feedback wait for the event log, the bound is {MAX_WAITING_BYTES}; "
                "retry shortly with the same event ids"
            )
        stored = self._gathering(events.number).join(events, body_bytes, span)
        self._waiting_bytes += body_bytes
        self._backlog.wait(events.number)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(self._log))
        try:
            with self._deadline:
                await stored
        except TimeoutError:
            raise LogUnavailable("the event log did not confirm in time; retry with the same event ids") from None

    async def close(self) -> None:
        """Wait until nothing waits."""
        if self._writer is not None:
            await self._writer

    def _gathering(self, events: int) -> _Group:
        """Return the group that `events` more may join."""
        if not self._groups or self._groups[-1].events + events > MAX_GROUP_EVENTS:
            self._groups.append(_Group())
        return self._groups[-1]

    async def _write(self, log: EventSink) -> None:
        """Store group after group until nothing waits."""
        try:
            while groups := self._next_groups():
                began = time.perf_counter()
                if len(groups) == 1:
                    await self._append(log, groups[0])
                else:
                    await asyncio.gather(*(self._append(log, group) for group in groups))
                self._backlog.took(time.perf_counter() - began, sum(group.events for group in groups))
        finally:
            self._writer = None

    def _next_groups(self) -> list[_Group]:
        """Take as many groups as are appended at once, each in a transaction of its own; none is left if none waits."""
        taken: list[_Group] = []
        while self._groups and len(taken) < _GROUPS_AT_ONCE:
            group = self._groups.popleft()
            self._waiting_bytes -= group.body_bytes
            self._backlog.leave(group.events)
            if not group.is_deserted():
                taken.append(group)
        return taken

    async def _append(self, log: EventSink, group: _Group) -> None:
        try:
            await log.append(group.blocks(), group.traces())
            for events in group.said:
                self._on_said(events)
        except Exception as error:  # whatever it is, these requests answer with it, and the next group is tried
            group.fail(error)
        else:
            group.confirm()

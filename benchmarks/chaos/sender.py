"""The sender of the scenarios under load, a process of its own: an open loop that gives up, and judges what it is told.

Request i is due at start + i / rate and its latency counts from then. Unlike the benches' generator it waits no longer
than its patience, heeds `Connection: close`, spreads over several addresses, notes Retry-After, and compares each score
with that of the version the answer names: so a mix of two versions, or a wrong answer, is seen by the caller (P6, P7).

`python -m benchmarks.chaos.sender plan.json` writes arrays to the plan's `out`; `benchmarks.chaos.offered` makes plans
and reads those.
"""

import asyncio
import gc
import math
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import uvloop

BROKEN = 0  # in place of a status: the connection broke before the answer
SILENT = -1  # sent, and unanswered when patience ended
UNSENT = -2  # no connection came free in time
NOBODY = -1  # in place of a version: the answer names none
TOLERANCE = 1e-6
_END = b"\r\n\r\n"
_NAMED = b'"version":"'
_LOOK_S = 0.02
_SHORTEST_SLEEP_S = 0.0002


@dataclass(frozen=True)
class Plan:
    """What to send."""

    addresses: list[tuple[str, int]]
    path: str
    content_type: str
    bodies: str  # file, one body a line, sent in turn
    rate: float  # requests a second
    count: int
    connections: int
    patience_s: float
    expected: str | None  # file: {version: [{item_id: score} for each body]}
    start_s: float  # time.monotonic() at which the first request is due
    out: str


class Sender:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        """Make every request before the first one is due."""
        self.plan = plan
        head = f"POST {plan.path} HTTP/1.1\r\nhost: winnow\r\ncontent-type: {plan.content_type}\r\n"
        bodies = Path(plan.bodies).read_bytes().splitlines()
        self.requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self.expected: dict[str, list[dict[str, float]]] = (
            orjson.loads(Path(plan.expected).read_bytes()) if plan.expected else {}
        )
        self.due = np.arange(plan.count) / plan.rate  # seconds after the start
        self.left = np.full(plan.count, np.nan)  # when the sender came to it
        self.ended = np.full(plan.count, np.nan)
        self.status = np.full(plan.count, UNSENT, np.int16)
        self.retry_after = np.zeros(plan.count, bool)
        self.version = np.full(plan.count, NOBODY, np.int32)
        self.names: dict[bytes, int] = {}
        self.wrong = np.zeros(plan.count, bool)
        self.complaint = ""
        self.free: deque[Connection] = deque()
        self.waiting: deque[int] = deque()
        self.out: dict[int, Connection] = {}  # by number, so oldest first
        self.done = 0
        self.opened = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.finished = asyncio.Event()
        self.failure: BaseException | None = None

    async def run(self) -> None:
        """Send everything, wait for what is still out, and write what was seen."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fail)
        await asyncio.gather(*(self.connect() for _ in range(self.plan.connections)))
        gc.collect()
        gc.disable()
        threading.Thread(target=self._pace, args=(loop,), daemon=True).start()
        patience = loop.create_task(self._give_up())
        await self.finished.wait()
        patience.cancel()
        if self.failure is not None:
            raise self.failure
        np.savez(
            self.plan.out,
            start_s=np.array([self.plan.start_s]),
            due=self.due,
            left=self.left,
            ended=self.ended,
            status=self.status,
            retry_after=self.retry_after,
            version=self.version,
            names=np.array([name.decode() for name in self.names], dtype=str),
            wrong=self.wrong,
            complaint=np.array([self.complaint], dtype=str),
        )

    def now(self) -> float:
        """Return seconds since the start."""
        return time.monotonic() - self.plan.start_s

    async def connect(self) -> None:
        """Open one more connection, however long there is nobody to answer."""
        self.opened += 1
        host, port = self.plan.addresses[self.opened % len(self.plan.addresses)]
        while not self.finished.is_set():
            try:
                await asyncio.get_running_loop().create_connection(lambda: Connection(self), host, port)
            except OSError:
                await asyncio.sleep(_LOOK_S)
            else:
                return

    def reconnect(self) -> None:
        """Open a connection in place of one that is gone."""
        task = asyncio.get_running_loop().create_task(self.connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def send(self) -> None:
        """Send what waits as far as connections are free."""
        while self.waiting and self.free:
            number, connection = self.waiting.popleft(), self.free.popleft()
            self.out[number] = connection
            connection.send(number)

    def end(self, number: int, status: int) -> None:
        """Note how a request ended."""
        self.ended[number] = self.now()
        self.status[number] = status
        self.out.pop(number, None)
        self.done += 1
        if self.done == self.plan.count:
            self.finished.set()

    def answered(self, number: int, head: bytes, body: bytes) -> None:
        """Note an answer, and judge it."""
        status = int(head[9:12])
        self.retry_after[number] = b"\r\nretry-after:" in head
        self.end(number, status)
        at = body.find(_NAMED) + len(_NAMED)
        if at < len(_NAMED):
            return
        name = body[at : body.find(b'"', at)]
        self.version[number] = self.names.setdefault(name, len(self.names))
        if self.expected and status == 200:
            self._judge(number, name.decode(), body)

    def _judge(self, number: int, version: str, body: bytes) -> None:
        of_version = self.expected.get(version)
        scores = {row["item_id"]: row["score"] for row in orjson.loads(body)["items"]}
        wanted = of_version[number % len(self.requests)] if of_version else {}
        far = max((abs(scores[item] - score) for item, score in wanted.items() if item in scores), default=math.inf)
        if scores.keys() != wanted.keys() or not far <= TOLERANCE:
            self.wrong[number] = True
            self.complaint = self.complaint or f"request {number} as version {version}: {far:.3g} away"

    def _pace(self, loop: asyncio.AbstractEventLoop) -> None:
        at = 0
        while at < self.plan.count:
            if (pause := self.due[at] - self.now()) > 0:
                time.sleep(max(pause, _SHORTEST_SLEEP_S))
            end = int(np.searchsorted(self.due, self.now(), side="right"))
            if end > at:
                loop.call_soon_threadsafe(self._arrive, at, end)
                at = end

    def _arrive(self, first: int, end: int) -> None:
        self.left[first:end] = self.now()
        self.waiting.extend(range(first, end))
        self.send()

    async def _give_up(self) -> None:
        """End what is older than the caller's patience."""
        while True:
            await asyncio.sleep(_LOOK_S)
            overdue = self.now() - self.plan.patience_s
            for queue in (self.out, self.waiting):
                while queue and self.due[number := next(iter(queue))] < overdue:
                    if queue is self.out:
                        self.out[number].abandon()
                        self.end(number, SILENT)
                    else:
                        self.waiting.popleft()
                        self.end(number, UNSENT)

    def _fail(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the run by what went wrong in a callback or a task: half a schedule proves nothing."""
        self.failure = context.get("exception") or RuntimeError(context["message"])
        self.finished.set()


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._number: int | None = None
        self._seen = bytearray()
        self._head = b""
        self._begins = self._whole = 0  # where the answer's body begins, and how long it is with its head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry
        self._sender.free.append(self)
        self._sender.send()

    def send(self, number: int) -> None:
        """Send one request."""
        self._number, self._head = number, b""
        self._seen.clear()
        requests = self._sender.requests
        self._transport.write(requests[number % len(requests)])

    def abandon(self) -> None:
        """Hang up on whoever does not answer."""
        self._number = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came; the answer ends by its content-length."""
        seen, number = self._seen, self._number
        seen += data
        if number is None:
            self._transport.abort()  # an answer that nobody asked for, or no longer
            return
        if not self._head:
            end = seen.find(_END)
            if end < 0:
                return
            self._head = bytes(seen[:end]).lower()
            length = self._head.partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
            self._begins = end + len(_END)
            self._whole = self._begins + int(length)
        if len(seen) < self._whole:
            return
        self._number = None
        if b"\r\nconnection: close" in self._head:
            self._transport.abort()
        else:
            self._sender.free.append(self)
        self._sender.answered(number, self._head, bytes(seen[self._begins : self._whole]))
        self._sender.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Open another connection; the request that was out is lost."""
        sender, number = self._sender, self._number
        if self in sender.free:
            sender.free.remove(self)
        if number is not None:
            sender.end(number, BROKEN)
        if not sender.finished.is_set():
            sender.reconnect()


def main(plan_file: str) -> None:
    """Run a plan."""
    plan = Plan(**orjson.loads(Path(plan_file).read_bytes()))

    async def run() -> None:
        await Sender(plan).run()

    uvloop.run(run())


if __name__ == "__main__":
    main(sys.argv[1])

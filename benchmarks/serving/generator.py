"""The open-loop load generator, a process of its own: requests leave by a fixed schedule, whatever the answers do.

Request i is due at start + i / rate and its latency counts from then, so a server that stalls is charged for everyone
who had to wait (Tene's coordinated omission). A thread sleeps from due time to due time, because an event loop's timers
are a millisecond coarse; the event loop sends over the first free keep-alive connection, or queues.

`python -m benchmarks.serving.generator plan.json` writes arrays to the plan's `out`; `benchmarks.serving.open_loop`
makes plans and reads those.
"""

import asyncio
import gc
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import uvloop

UNANSWERED = 0  # in place of a status
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_NAMED = b'"version":"'
_DRAIN_S = 10.0


@dataclass(frozen=True)
class Plan:
    """What to send."""

    host: str
    port: int
    path: str
    content_type: str
    bodies: str  # file, one body a line, sent in turn
    rate: float  # requests a second
    count: int
    connections: int
    out: str


class Generator:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        """Make every request before the first one is due."""
        self.plan = plan
        head = f"POST {plan.path} HTTP/1.1\r\nhost: {plan.host}\r\ncontent-type: {plan.content_type}\r\n"
        bodies = Path(plan.bodies).read_bytes().splitlines()
        self.requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self.due = np.arange(plan.count) / plan.rate  # seconds after the start
        self.left = np.zeros(plan.count)  # when the generator came to it
        self.ended = np.full(plan.count, np.nan)
        self.status = np.full(plan.count, UNANSWERED, np.int16)
        self.versions: Counter[bytes] = Counter()
        self.free: deque[Connection] = deque()
        self.waiting: deque[int] = deque()
        self.done = 0
        self.connecting: set[asyncio.Task[None]] = set()
        self.finished = asyncio.Event()
        self.start = 0.0
        self.failure: BaseException | None = None

    async def run(self) -> None:
        """Send everything, wait for what is still out, and write what was seen."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fail)
        for _ in range(self.plan.connections):
            await self.connect()
        gc.collect()
        gc.disable()
        started_ns = time.time_ns()
        self.start = time.perf_counter()
        pacing = threading.Thread(target=self._pace, args=(loop,), daemon=True)
        pacing.start()
        try:
            async with asyncio.timeout(self.plan.count / self.plan.rate + _DRAIN_S):
                await self.finished.wait()
        except TimeoutError:  # what is out stays unanswered
            pass
        if self.failure is not None:
            raise self.failure
        names = sorted(self.versions)
        np.savez(
            self.plan.out,
            started_ns=np.array([started_ns]),
            due=self.due,
            left=self.left,
            ended=self.ended,
            status=self.status,
            versions=np.array([name.decode() for name in names], dtype=str),
            answers=np.array([self.versions[name] for name in names], np.int64),
        )

    async def connect(self) -> None:
        """Open one more connection."""
        await asyncio.get_running_loop().create_connection(lambda: Connection(self), self.plan.host, self.plan.port)

    def _pace(self, loop: asyncio.AbstractEventLoop) -> None:
        at = 0
        while at < self.plan.count:
            pause = self.start + self.due[at] - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            end = int(np.searchsorted(self.due, time.perf_counter() - self.start, side="right"))
            if end > at:
                loop.call_soon_threadsafe(self._arrive, at, end)
                at = end

    def _fail(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the run by what went wrong in a callback or a task: half a schedule measures nothing."""
        self.failure = context.get("exception") or RuntimeError(context["message"])
        self.finished.set()

    def _arrive(self, first: int, end: int) -> None:
        self.left[first:end] = time.perf_counter() - self.start
        for number in range(first, end):
            self.waiting.append(number)
        self.send()

    def send(self) -> None:
        """Send what waits as far as connections are free."""
        while self.waiting and self.free:
            self.free.popleft().send(self.waiting.popleft())

    def answered(self, number: int, status: int, named: bytes) -> None:
        """Note the end of a request; `UNANSWERED` if the connection broke."""
        self.ended[number] = time.perf_counter() - self.start
        self.status[number] = status
        self.versions[named] += 1
        self.done += 1
        if self.done == self.plan.count:
            self.finished.set()


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._number: int | None = None
        self._seen = bytearray()
        self._whole = 0  # bytes of the answer, head included; 0 while unknown

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but ancestry
        self._generator.free.append(self)
        self._generator.send()

    def send(self, number: int) -> None:
        """Send one request."""
        self._number, self._whole = number, 0
        self._seen.clear()
        requests = self._generator.requests
        self._transport.write(requests[number % len(requests)])

    def data_received(self, data: bytes) -> None:
        """Take what came; the answer ends by its content-length."""
        seen, number = self._seen, self._number
        seen += data
        if number is None:
            self._transport.abort()  # an answer that nobody asked for
            return
        if not self._whole:
            end = seen.find(_END)
            if end < 0:
                return
            head = bytes(seen[:end]).lower()
            length = head.find(_LENGTH)
            self._whole = end + len(_END) + int(head[length + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(seen) >= self._whole:
            name = seen.find(_NAMED) + len(_NAMED)
            named = bytes(seen[name : seen.find(b'"', name)]) if name >= len(_NAMED) else b""
            self._number = None
            self._generator.free.append(self)
            self._generator.answered(number, int(seen[9:12]), named)
            self._generator.send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Open another connection; the request that was out is lost."""
        generator, number = self._generator, self._number
        if self in generator.free:
            generator.free.remove(self)
        if number is not None:
            generator.answered(number, UNANSWERED, b"")
        if not generator.finished.is_set():
            task = asyncio.get_running_loop().create_task(generator.connect())
            generator.connecting.add(task)
            task.add_done_callback(generator.connecting.discard)


def main(plan_file: str) -> None:
    """Run a plan."""
    plan = Plan(**orjson.loads(Path(plan_file).read_bytes()))

    async def run() -> None:
        await Generator(plan).run()

    uvloop.run(run())


if __name__ == "__main__":
    main(sys.argv[1])

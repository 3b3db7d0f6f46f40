"""What a refused caller sees: an answer at once, and a connection that lives on for as long as it is used."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop

from service.backlog import MOST_FIRST_EVENTS, AppendBacklog, Backlog
from service.connection import Connection, Door
from service.metrics import Metrics
from service.server import acceptors, bind

BODY = b"x" * 39
HEAD = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 39\r\n\r\n"
SCORE, FEEDBACK = HEAD % b"/v1/score", HEAD % b"/v1/feedback"
KEEP_ALIVE_S = 1


class Caller:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def status(self, *parts: bytes) -> int:
        """Send parts and return the status of one answer."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self.reader.readexactly(int(length or 0))
        assert b" 503 " not in head or b"\r\nretry-after: 1\r\n" in head
        return int(head[9:12])


def served(use: Callable[[Door, Caller], Awaitable[None]]) -> None:
    """Let a caller use a server whose backlogs the test makes long."""

    async def run() -> None:
        door = Door(Backlog(1e-9), Metrics(), 5.0, AppendBacklog(1.0))
        door.hot_paths = {b"/v1/score": "/v1/score", b"/v1/feedback": "/v1/feedback"}

        async def fine(scope: Any, receive: Any, send: Any) -> None:
            door.backlog.begin(0.0)
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        http: type[Connection] = door.connection_class()
        listener = bind("127.0.0.1", 0, "WINNOW_PORT")
        address = listener.getsockname()
        config = uvicorn.Config(
            fine, http=http, lifespan="off", log_config=None, ws="none", timeout_keep_alive=KEEP_ALIVE_S
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=acceptors(listener)))
        reader, writer = await asyncio.open_connection(*address)
        try:
            await use(door, Caller(reader, writer))
        finally:
            writer.close()
            server.should_exit = True
            await running

    asyncio.run(run())


def test_a_connection_that_is_refused_again_and_again_is_not_idle() -> None:
    async def use(door: Door, caller: Caller) -> None:
        door.backlog.arrive(0.0)
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began < 1.5 * KEEP_ALIVE_S:
            assert await caller.status(SCORE + BODY) == 503
            await asyncio.sleep(0.05)
        assert await caller.reader.read() == b""  # once it is idle it ends

    served(use)


def test_the_rest_of_a_refused_body_is_no_request() -> None:
    async def use(door: Door, caller: Caller) -> None:
        door.backlog.arrive(0.0)
        assert await caller.status(SCORE, BODY[:20]) == 503
        assert await caller.status(BODY[20:] + SCORE + BODY) == 503
        door.backlog.begin(0.0)
        assert await caller.status(SCORE, BODY) == 204
        assert door.metrics.shed.total == 2

    served(use)


def test_while_the_log_is_behind_feedback_is_refused_and_scores_are_not() -> None:
    async def use(door: Door, caller: Caller) -> None:
        door.appends.wait(MOST_FIRST_EVENTS)
        assert await caller.status(FEEDBACK + BODY) == 503
        assert await caller.status(SCORE + BODY) == 204
        door.appends.leave(MOST_FIRST_EVENTS)
        assert await caller.status(FEEDBACK + BODY) == 204

    served(use)


def test_a_turn_of_the_loop_lets_many_callers_in() -> None:
    async def run() -> None:
        listener = bind("127.0.0.1", 0, "WINNOW_PORT")
        turn = 0
        came: list[int] = []
        loop = asyncio.get_running_loop()

        class Noting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                came.append(turn)

        servers = [await loop.create_server(Noting, sock=each) for each in acceptors(listener)]
        callers = [socket.create_connection(listener.getsockname()) for _ in range(64)]
        while len(came) < len(callers):
            turn += 1
            await asyncio.sleep(0)
        for caller in callers:
            caller.close()
        for server in servers:
            server.close()
        assert came[-1] - came[0] < 16

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_what_the_door_refuses_ends_a_burst() -> None:
    backlog, appends = Backlog(1.0), AppendBacklog(1.0)
    door = Door(backlog, Metrics(), 5.0, appends)
    appends.wait(MOST_FIRST_EVENTS)
    backlog.arrive(0.0)
    assert not door.refuses("/v1/score")
    assert [door.refuses("/v1/feedback") for _ in range(3)] == [True] * 3
    backlog.begin(0.0)
    taken = 0
    while not backlog.is_long:
        backlog.arrive(0.0)
        taken += 1
    assert taken == 5_000  # of 0.2 ms each a second's worth, and not BURST times that

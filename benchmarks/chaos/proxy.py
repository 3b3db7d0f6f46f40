"""A TCP proxy that does what networks do: waits, drips, resets, loses replies, goes dead while looking alive.

It stands between a client and the log's server, in a thread of its own. What it does to replies is drawn anew for each
piece, so an append may be applied and its reply lost: the one failure that a client cannot tell from no append.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Self

_PIECE_BYTES = 65_536
_HALF_OPEN_S = 6.0


@dataclass(frozen=True)
class Weather:
    """What the network does. Shares are of pieces that come from the server."""

    latency_s: float = 0.0
    lost_reply: float = 0.0  # the connection is reset in place of a reply
    reset: float = 0.0  # the connection is reset in place of a request
    half_open: float = 0.0  # nothing comes any more, and nobody says so
    bytes_a_second: float = 0.0  # 0: as fast as it goes


class Proxy:
    """Listens on a port of its own. A context manager; `weather` may be changed at any time."""

    def __init__(self, port: int, seed: int) -> None:
        """Stand before the server at a port of 127.0.0.1."""
        self.weather = Weather()
        self.done: Counter[str] = Counter()  # what was done to connections
        self._to = port
        self._random = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._serve, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        """The server behind it, as redis-py takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, sock=self._socket))
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.create_task(self._carry(reader, far_writer, writer, from_server=False)),
            asyncio.create_task(self._carry(far_reader, writer, writer, from_server=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, far_writer):
                end.close()

    async def _carry(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, client: asyncio.StreamWriter, from_server: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(_PIECE_BYTES):
                weather = self.weather
                if self._happens("lost_reply", weather.lost_reply if from_server else 0.0) or self._happens(
                    "reset", 0.0 if from_server else weather.reset
                ):
                    _reset(client)
                    return
                if self._happens("half_open", weather.half_open if from_server else 0.0):
                    await asyncio.sleep(_HALF_OPEN_S)
                    _reset(client)
                    return
                if weather.latency_s:
                    await asyncio.sleep(weather.latency_s / 2)
                await self._pour(piece, to)

    async def _pour(self, piece: bytes, to: asyncio.StreamWriter) -> None:
        while piece and (speed := self.weather.bytes_a_second):
            to.write(piece[:1])
            await to.drain()
            piece = piece[1:]
            await asyncio.sleep(min(1 / speed, 1.0))
        to.write(piece)
        await to.drain()

    def _happens(self, what: str, share: float) -> bool:
        happens = share > 0 and self._random.random() < share
        self.done[what] += happens
        return happens


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what was sent and not yet read is lost."""
    if (raw := writer.get_extra_info("socket")) is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

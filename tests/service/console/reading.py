"""Reads server-sent events as a page does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson

LIVE = "/console/api/live"


class Reader:
    """What a stream has said so far, read by a thread of its own."""

    def __init__(self, answer: httpx.Response) -> None:
        self.events: list[tuple[str, Any]] = []
        self.is_over = threading.Event()
        self._answer = answer

    def read(self) -> None:
        kind = ""
        try:
            for line in self._answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self.events.append((kind, orjson.loads(value)))
        finally:
            self.is_over.set()

    def of(self, kind: str) -> list[Any]:
        return [content for name, content in list(self.events) if name == kind]


@contextmanager
def reading(url: str) -> Iterator[Reader]:
    """Open the live stream of a service; the reader's thread ends with it."""
    with httpx.Client(timeout=httpx.Timeout(30, read=60)) as http, http.stream("GET", url + LIVE) as answer:
        assert answer.status_code == 200, answer.read()
        reader = Reader(answer)
        thread = threading.Thread(target=_quietly(reader.read), daemon=True)
        thread.start()
        yield reader
        # Closing from here breaks the thread's read off, which is how a page that is closed leaves.
        _shut(answer)
        thread.join(10)


def _quietly(read: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            read()
        except (httpx.HTTPError, httpx.StreamError, OSError):
            return

    return run


def _shut(answer: httpx.Response) -> None:
    stream = answer.extensions["network_stream"]
    connection: socket.socket = stream.get_extra_info("socket")
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)

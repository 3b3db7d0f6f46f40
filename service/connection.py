"""One HTTP/1.1 connection: uvicorn's, with the bounds that it leaves out (P7, P11).

A head that does not arrive, or is too large, ends the connection; what is not HTTP is answered as a problem. While the
backlog is long, a request for a hot route is refused from the bytes of its head, before anything is made of it, and the
rest of its body is skipped: to refuse has to cost a fraction of an answer, or five times the load leaves no time to
answer. A connection that is refused stays open: to open one costs both sides more than an answer does.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.backlog import AppendBacklog, Backlog
from service.metrics import Metrics
from service.problems import SECURITY_HEADERS, problem_bytes
from service.request_ids import new_request_id

ARRIVED = "winnow.arrived"  # in a scope: the backlog counts it
HANG_UP = "winnow.hang-up"  # in a scope: breaks the connection off, whatever waits to be sent
SHED = "winnow.shed"  # in a scope: it arrived while the backlog was long
FEEDBACK = "/v1/feedback"  # label of the route whose requests wait for the event log too
MAX_HEAD_BYTES = 32_768
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_LONGEST_PATH = 64
_MOST_SKIPPED = 16_777_216  # bytes of a refused body; who declares more is refused the usual way
_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
_BUSY = "more work waits than is done in time; retry after the time stated"


class Door:
    """What the connections of a server share."""

    def __init__(
        self, backlog: Backlog, metrics: Metrics, head_timeout_s: float, appends: AppendBacklog | None = None
    ) -> None:
        """Make the door of one server; its hot paths are told once they are known. Feedback waits for `appends` too."""
        self.backlog = backlog
        self.appends = appends or AppendBacklog(1.0)
        self.metrics = metrics
        self.head_timeout_s = head_timeout_s
        self.is_draining = False
        self.on_drain: list[Callable[[], None]] = []
        self.hot_paths: dict[bytes, str] = {}  # path -> label of its route

    def refuses(self, label: str) -> bool:
        """Whether one more request for the route, which would wait too long, is refused."""
        if shut := self.backlog.is_long or (self.appends.is_long and label == FEEDBACK):
            self.backlog.refuse()
        return shut

    def drain(self) -> None:
        """Say that this process is about to stop."""
        self.is_draining = True
        for tell in self.on_drain:
            tell()

    def connection_class(self) -> type["Connection"]:
        """Return the protocol for uvicorn, which makes one object of it a connection."""
        return type("BoundConnection", (Connection,), {"door": self})


class Hot(NamedTuple):
    """A request for a hot route, as its head says."""

    label: str
    missing: int  # bytes of its body that are still to come


class Connection(HttpToolsProtocol):
    """A connection to one caller, or to a proxy."""

    door: Door

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **options)
        self._between = True  # no byte of the next request has come
        self._in_head = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._to_skip = 0  # bytes of a refused body that are still to come
        self._shed_at = 0.0  # by the loop's clock

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            if not (data := data[skipped:]):
                return
        if self._between:
            door = self.door
            if (
                (door.backlog.is_long or door.appends.is_long)
                and (hot := self._hot_request(data))
                and door.refuses(hot.label)
            ):
                self._shed(hot)
                return
            if len(data) > MAX_HEAD_BYTES and data.find(_END, 0, MAX_HEAD_BYTES) < 0:
                self._refuse(431, f"the head has more than {MAX_HEAD_BYTES} bytes, the bound; send fewer header fields")
                return
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head has more than {MAX_HEAD_BYTES} bytes, the bound; send fewer header fields")
            elif self._head_timer is None:
                self._expect_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._between, self._in_head = False, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._in_head, self._head_bytes = False, 0
        self.scope[HANG_UP] = self.transport.abort  # type: ignore[literal-required]
        if self._head_timer is not None:
            self._head_is_here()
        backlog = self.door.backlog
        if backlog.is_long or self.door.appends.is_long:
            path = self.url.partition(b"?")[0]
            if self.door.refuses(self.door.hot_paths.get(path, "")):
                self.scope[SHED] = True  # type: ignore[literal-required]
        super().on_headers_complete()
        if not self.pipeline:
            self.scope[ARRIVED] = True  # type: ignore[literal-required]
            backlog.arrive(time.perf_counter())
        if self.door.is_draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """End a request: the next byte begins another."""
        self._between = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, "this is not a valid HTTP request")

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for so long: one that was refused meanwhile was not."""
        left_s = self._shed_at + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _hot_request(self, data: bytes) -> Hot | None:
        """Return what `data` asks for if it begins one plain request for a hot route and nothing comes after that."""
        if not data.startswith(b"POST ") or not (self.cycle is None or self.cycle.response_complete):
            return None
        label = self.door.hot_paths.get(data[5 : data.find(b" ", 5, 5 + _LONGEST_PATH)])
        end = data.find(_END, 0, MAX_HEAD_BYTES)
        if label is None or end < 0:
            return None
        head = data[: end + 2].lower()
        at = head.find(_LENGTH) + len(_LENGTH)
        if (
            at < len(_LENGTH)
            or head.find(_LENGTH, at) >= 0
            or b"\r\ntransfer-encoding" in head
            or b"\r\nexpect" in head
            or b" http/1.1\r\n" not in head[: 5 + _LONGEST_PATH + 11]
        ):
            return None
        length = head[at : head.find(b"\r\n", at)].strip()
        if not length.isdigit() or len(length) > 8 or int(length) > _MOST_SKIPPED:
            return None
        missing = int(length) - (len(data) - end - len(_END))
        return Hot(label, missing) if missing >= 0 else None

    def _shed(self, hot: Hot) -> None:
        """Refuse, skip what is still to come, and keep the connection."""
        if self._head_timer is not None:
            self._head_is_here()
        self._to_skip = hot.missing
        self._shed_at = self.loop.time()
        self.door.metrics.shed.inc()
        self.door.metrics.answered(hot.label, 503, 0.0)
        self.transport.write(_BUSY_ANSWER.replace(_ANY_ID, new_request_id().encode()))
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _refuse(self, status: int, why: str) -> None:
        """Say why, unless an answer is on its way, and hang up."""
        self._head_is_here()
        if not self.pipeline and (
            self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        ):
            if self.cycle is not None:  # a request whose body broke off gets this answer and no other
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self.door.metrics.answered_aside("other", status, 0.0)
            self.transport.write(_answer(status, why, b"connection: close\r\n"))
        self.transport.close()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.door.head_timeout_s, self._head_is_late)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(408, f"the head did not arrive within {self.door.head_timeout_s:g} s")
        else:
            self.transport.close()


_HEAD = (
    b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
    + b"".join(b"%b: %b\r\n" % header for header in SECURITY_HEADERS)
    + b"%b\r\n%b"
)


def _answer(status: int, why: str, extra: bytes, request_id: str = "") -> bytes:
    request_id = request_id or new_request_id()
    body = problem_bytes(status, why, request_id)
    return _HEAD % (status, _REASONS[status], len(body), request_id.encode(), extra, body)


_ANY_ID = b"id-of-16-letters"  # as long as the ids it stands for
_BUSY_ANSWER = _answer(503, _BUSY, b"retry-after: 1\r\n", _ANY_ID.decode())

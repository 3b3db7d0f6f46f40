"""How much may come in: bytes of a body, seconds for it to arrive, requests at work at once (P7)."""

from collections.abc import Mapping
from types import TracebackType

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from contract.errors import TooLarge
from service.deadline import Deadline
from service.metrics import Metrics
from service.problems import RETRY_AFTER
from service.settings import ServiceSettings

Headers = Mapping[bytes, bytes]  # names in lower case


class Limits:
    """Admits requests that carry a body. One object a process; `with limits:` is one request at work."""

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        """Take the bounds from the settings."""
        self._max_in_flight = settings.max_requests_in_flight
        self._max_bytes = settings.max_body_bytes
        self._timeout_s = settings.body_timeout_s
        self._arrival = Deadline(settings.body_timeout_s)
        self._metrics = metrics
        self._in_flight = 0

    def __enter__(self) -> None:
        """Count a request as at work. Raises HTTPException 503 if there are too many."""
        if self._in_flight >= self._max_in_flight:
            self._metrics.shed.inc()
            raise HTTPException(503, f"{self._in_flight} requests are at work, the bound; retry shortly", RETRY_AFTER)
        self._in_flight += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Let the next one in."""
        self._in_flight -= 1

    async def body_of(self, headers: Headers, receive: Receive) -> bytes:
        """Return the body of a request at work. Raises TooLarge, ClientDisconnect, and HTTPException 408 or 415."""
        if b"content-encoding" in headers:
            raise HTTPException(415, "a Content-Encoding is not taken; send the body as it is")
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and len(declared) < 20:
            self._check(int(declared))
        try:
            with self._arrival:
                return await self._arrive(receive)
        except TimeoutError:
            problem = f"the body did not arrive within {self._timeout_s:g} s"
            raise HTTPException(408, problem, {"connection": "close"}) from None

    async def _arrive(self, receive: Receive) -> bytes:
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            self._check(len(body) + len(chunk))
            if not (more or body):
                return bytes(chunk)  # all of it at once, as nearly always: nothing is copied
            body += chunk
        return bytes(body)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            bound = self._max_bytes
            raise TooLarge(f"the body has {size} bytes or more, the bound is {bound}; send fewer at a time")

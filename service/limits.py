"""How much may come in: bytes of a body, seconds for it to arrive, requests at work at once (P7)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.exceptions import HTTPException

from contract.errors import TooLarge
from service.metrics import Metrics
from service.problems import RETRY_AFTER
from service.settings import ServiceSettings


class Limits:
    """Admits requests that carry a body. One object a process."""

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        """Take the bounds from the settings."""
        self._settings = settings
        self._metrics = metrics
        self._in_flight = 0

    @asynccontextmanager
    async def body_of(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body; until the block ends the request counts as at work.

        Raises TooLarge, and HTTPException 408, 415 or 503.
        """
        if self._in_flight >= self._settings.max_requests_in_flight:
            self._metrics.shed.inc()
            raise HTTPException(503, f"{self._in_flight} requests are at work, the bound; retry shortly", RETRY_AFTER)
        self._in_flight += 1
        try:
            yield await self._read(request)
        finally:
            self._in_flight -= 1

    async def _read(self, request: Request) -> bytes:
        if "content-encoding" in request.headers:
            raise HTTPException(415, "a Content-Encoding is not taken; send the body as it is")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and len(declared) < 20:
            self._check(int(declared))
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                async for chunk in request.stream():
                    self._check(len(body) + len(chunk))
                    body += chunk
        except TimeoutError:
            seconds = self._settings.body_timeout_s
            raise HTTPException(408, f"the body did not arrive within {seconds:g} s", {"connection": "close"}) from None
        return bytes(body)

    def _check(self, size: int) -> None:
        bound = self._settings.max_body_bytes
        if size > bound:
            raise TooLarge(f"the body has {size} bytes or more, the bound is {bound}; send fewer at a time")

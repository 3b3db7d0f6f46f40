"""GET /console/api/live: the feed as server-sent events, for as long as the reader stays.

A stream is no request like others: it holds no slot of those at work, and its minutes are no latency. It ends at once
when this process is about to stop. A reader that takes nothing keeps `send` waiting; it is hung up on.
"""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.connection import HANG_UP
from service.console.feed import Feed, Stream
from service.observed import UNTIMED

_LAST_WORDS_S = 0.5
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


def live_routes(feed: Feed) -> APIRouter:
    """Return the route of the live stream."""
    router = APIRouter(include_in_schema=False)

    @router.get("/console/api/live")
    async def live() -> Response:
        """Tell what the service and the trainer do, as it happens."""
        return LiveResponse(feed)

    return router


class LiveResponse(Response):
    """One stream of the feed."""

    def __init__(self, feed: Feed) -> None:
        """Open nothing yet."""
        super().__init__()
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reader has gone, or the feed is over. Raises HTTPException 503 before it has begun."""
        stream = await self._feed.open()
        scope["state"][UNTIMED] = True
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(_send_all(stream, send))
                leaving = tasks.create_task(_end_when_gone(stream, receive))
                await stream.over.wait()
                await asyncio.wait({sending}, timeout=_LAST_WORDS_S)
                if not sending.done():
                    scope.get(HANG_UP, sending.cancel)()
                    await asyncio.wait({leaving}, timeout=_LAST_WORDS_S)
                leaving.cancel()
        finally:
            self._feed.close(stream)


async def _send_all(stream: Stream, send: Send) -> None:
    while not stream.over.is_set():
        if pieces := await stream.take():
            await send({"type": "http.response.body", "body": pieces, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _end_when_gone(stream: Stream, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()

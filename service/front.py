"""The front of the service: hot routes are answered right here, all others by the framework behind it.

A hot route is declared once, on a router made by `hot_router`: the framework documents it and refuses other methods on
its path, and `Front` answers it without the framework's middleware, matching and dependencies, which cost more than
scoring does. It looks the same from outside: keys, limits, problems, request ids, headers and metrics are those of
every route.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access import needed_for
from service.backlog import Backlog
from service.connection import ARRIVED, SHED
from service.cors import Origins
from service.keys import Caller, KeyRing
from service.limits import Headers, Limits
from service.metrics import Metrics
from service.observed import Observed, versioned
from service.problems import RETRY_AFTER, SECURITY_HEADERS, problem_response
from service.request_ids import request_id_of
from service.request_lines import RequestLines

if TYPE_CHECKING:
    from contract.open_telemetry import Span, Traces

log = structlog.get_logger()


class Asked(NamedTuple):
    """What a hot route is told beside the body."""

    request_id: str
    headers: Headers
    caller: Caller
    span: "Span | None" = None  # of the request, if it is traced


Handler = Callable[[bytes, Asked], Awaitable[bytes]]
"""A hot route: body in, JSON out. What it raises becomes a problem (`service/problems.py`)."""


class RawRoute(APIRoute):
    """A route whose function is a `Handler`; the framework sees its name and docstring and never calls it."""

    def __init__(self, path: str, endpoint: Handler, **options: Any) -> None:
        """Declare the route; `options` are those of every route, and the answer has the documented status."""

        async def documented() -> None:
            raise RuntimeError(f"{path} is answered by the front; serve the application that create_app returns")

        documented.__name__, documented.__doc__ = endpoint.__name__, endpoint.__doc__
        super().__init__(path, documented, **options)
        self.handler = endpoint


def hot_router(tag: str) -> APIRouter:
    """Return an empty router for hot routes."""
    return APIRouter(tags=[tag], route_class=RawRoute)


class Front(FastAPI):
    """The application: hot routes first, everything else through the framework's stack."""

    def __init__(
        self,
        limits: Limits,
        metrics: Metrics,
        keys: KeyRing,
        backlog: Backlog | None = None,
        origins: Origins | None = None,
        lines: RequestLines | None = None,
        traces: "Traces | None" = None,
        **options: Any,
    ) -> None:
        """Make an application without routes; `options` are those of FastAPI. Without `origins`, no page may call."""
        super().__init__(**options)
        self._lines = lines or RequestLines()
        self.add_middleware(Observed, metrics=metrics, keys=keys, needed=needed_for, lines=self._lines)
        self._limits = limits
        self._metrics = metrics
        self._keys = keys
        self._backlog = backlog
        self._origins = origins
        self._traces = traces
        self._hot: dict[tuple[str, str], ASGIApp] = {}  # by method and path

    def include(self, router: APIRouter) -> None:
        """Take in the routes of `router`."""
        self.include_router(router)
        for route in router.routes:
            if isinstance(route, RawRoute):
                answer = _HotRoute(route, self._limits, self._metrics, self._keys, self._lines, self._traces)
                self._hot |= {(method, route.path): answer for method in route.methods or ()}

    @property
    def hot_paths(self) -> dict[bytes, str]:
        """The paths of the hot routes, with the label of each."""
        return {path.encode(): versioned(path) for _, path in self._hot}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or see to one lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if self._backlog is not None and ARRIVED in scope:
            self._backlog.begin(time.perf_counter())
        if self._origins:
            headers: Headers = dict(scope["headers"])
            if (allowed := self._origins.preflight(scope["method"], headers)) is not None:
                await _send_whole(send, 204, allowed, b"")
                return
            send = _with_headers(send, self._origins.headers_for(headers))
        hot = self._hot.get((scope["method"], scope["path"]))
        await (hot or super().__call__)(scope, receive, send)


class _HotRoute:
    """One hot route as an ASGI application."""

    def __init__(
        self,
        route: RawRoute,
        limits: Limits,
        metrics: Metrics,
        keys: KeyRing,
        lines: RequestLines,
        traces: "Traces | None",
    ) -> None:
        self._handler = route.handler
        self._label = versioned(route.path)
        self._status = route.status_code or 200
        self._limits = limits
        self._metrics = metrics
        self._keys = keys
        self._needed = needed_for(route.path)
        self._lines = lines
        self._traces = traces
        metrics.open_route(self._label)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, answer = time.perf_counter(), 0, b""
        headers: Headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        span = None
        if self._traces is not None:
            span = self._traces.request(self._label, headers.get(b"traceparent"), request_id)
        try:
            self._check_turn(scope)
            caller = self._keys.admit(headers, self._needed)
            with self._limits:
                body = await self._limits.body_of(headers, receive)
                answer = await self._handler(body, Asked(request_id, headers, caller, span))
        except Exception as error:
            refusal = problem_response(error, request_id)
            status = refusal.status_code
            if status == 500:
                log.exception("request_failed", request_id=request_id, route=self._label)
            await refusal(scope, receive, _with_headers(send, SECURITY_HEADERS))
        else:
            status = self._status
            about = [
                (b"content-type", b"application/json"),
                (b"x-request-id", request_id.encode()),
                *SECURITY_HEADERS,
            ]
            await _send_whole(send, status, about, answer)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.answered(self._label, status, seconds)
            if seconds >= self._lines.from_s or status >= 500:
                self._lines.write(self._label, status, seconds, request_id, answer)
            if span is not None:
                span.answered(status)

    def _check_turn(self, scope: Scope) -> None:
        if SHED in scope:
            self._metrics.shed.inc()
            raise HTTPException(503, "more work waits than is done in time; retry shortly", RETRY_AFTER)


async def _send_whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    about = [*headers, (b"content-length", b"%d" % len(body))] if status != 204 else headers
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send, more: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *more]
        await send(message)

    return send_with_more

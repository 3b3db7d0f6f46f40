"""The door of the service: hot routes are answered right here, all others by the framework behind it.

A hot route is declared once, on a router made by `hot_router`: the framework documents it and refuses other methods on
its path, and `Front` answers it without the framework's middleware, matching and dependencies, which cost more than
scoring does. It looks the same from outside: limits, problems, request ids and metrics are those of every route.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.limits import Headers, Limits
from service.metrics import Metrics
from service.observed import Observed, request_id_of, versioned
from service.problems import problem_response

log = structlog.get_logger()


class Asked(NamedTuple):
    """What a hot route is told beside the body."""

    request_id: str
    headers: Headers


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

    def __init__(self, limits: Limits, metrics: Metrics, **options: Any) -> None:
        """Make an application without routes; `options` are those of FastAPI."""
        super().__init__(**options)
        self.add_middleware(Observed, metrics=metrics)
        self._limits = limits
        self._metrics = metrics
        self._hot: dict[tuple[str, str], ASGIApp] = {}  # by method and path

    def include(self, router: APIRouter) -> None:
        """Take in the routes of `router`."""
        self.include_router(router)
        for route in router.routes:
            if isinstance(route, RawRoute):
                answer = _HotRoute(route, self._limits, self._metrics)
                self._hot |= {(method, route.path): answer for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or see to one lifespan."""
        hot = self._hot.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (hot or super().__call__)(scope, receive, send)


class _HotRoute:
    """One hot route as an ASGI application."""

    def __init__(self, route: RawRoute, limits: Limits, metrics: Metrics) -> None:
        self._handler = route.handler
        self._label = versioned(route.path)
        self._status = route.status_code or 200
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0
        headers: Headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        try:
            with self._limits:
                body = await self._limits.body_of(headers, receive)
                answer = await self._handler(body, Asked(request_id, headers))
        except Exception as error:
            refusal = problem_response(error, request_id)
            status = refusal.status_code
            if status == 500:
                log.exception("request_failed", request_id=request_id, route=self._label)
            await refusal(scope, receive, send)
        else:
            status = self._status
            about = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(answer)),
                (b"x-request-id", request_id.encode()),
            ]
            await send({"type": "http.response.start", "status": status, "headers": about})
            await send({"type": "http.response.body", "body": answer})
        finally:
            self._metrics.answered(self._label, status, time.perf_counter() - started)

"""What surrounds every request that the framework answers: its id, its measure, the last catch for what none foresaw.

`service/front.py` does the same for the hot routes.
"""

import random
import re
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import problem_response

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_ALIASES = ("/score", "/score:batch", "/feedback", "/labels")
_new_bits = random.Random().getrandbits  # seeded by the system; a system call for each id costs three times as much
log = structlog.get_logger()


class Observed:
    """ASGI middleware, the outermost one of ours."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Surround `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a fault of ours becomes a problem with status 500, logged with its request id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = request_id_of(dict(scope["headers"]).get(b"x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request_failed", request_id=request_id, route=route_of(scope))
            if status:  # the answer has begun; only breaking it off tells the caller that it is not whole
                raise
            await problem_response(error, request_id)(scope, receive, send_with_id)
        finally:
            self._metrics.answered(route_of(scope), status, time.perf_counter() - started)


def request_id_of(given: bytes | None) -> str:
    """Return the caller's id if it is short and harmless, else a new one."""
    return given.decode() if given and _SAFE_ID.fullmatch(given) else f"{_new_bits(64):016x}"


def route_of(scope: Scope) -> str:
    """Return the versioned template of the route, so that no path of a caller becomes a label."""
    return versioned(getattr(scope.get("route"), "path", "other"))


def versioned(template: str) -> str:
    """Return the path that an alias stands for, and any other as it is."""
    return f"/v1{template}" if template in _ALIASES else template

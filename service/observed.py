"""What surrounds every request that the framework answers: its id, its measure, who sent it and whether they may, the
headers of every answer, and the last catch for what none foresaw.

`service/front.py` does the same for the hot routes.
"""

import time
from collections.abc import Callable, Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from service.access import Needed
from service.keys import KeyRing
from service.metrics import Metrics
from service.problems import SECURITY_HEADERS, problem_response
from service.request_ids import request_id_of
from service.request_lines import RequestLines

_ALIASES = ("/score", "/score:batch", "/feedback", "/labels")
UNTIMED = "untimed"  # in a scope's state: the answer lasts as long as its reader stays, which is no latency
log = structlog.get_logger()


class Observed:
    """ASGI middleware, the outermost one of ours."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        keys: KeyRing,
        needed: Callable[[str], Needed],
        lines: RequestLines | None = None,
    ) -> None:
        """Surround `app`; `needed` says what a path asks of its caller."""
        self._app = app
        self._metrics = metrics
        self._keys = keys
        self._needed = needed
        self._lines = lines or RequestLines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a fault of ours becomes a problem with status 500, logged with its request id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [header for header in message.get("headers", ()) if header[0] != b"x-request-id"]
                said = {name for name, _ in own}  # the console's pages are no data, and have rules of their own
                more = [header for header in SECURITY_HEADERS if header[0] not in said]
                message["headers"] = [*own, *more, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            with bound_contextvars(request_id=request_id):
                if (refusal := self._refusal(scope, headers)) is not None:
                    await problem_response(refusal, request_id)(scope, receive, send_with_id)
                else:
                    await self._app(scope, receive, send_with_id)
        except Exception as error:
            log.exception("request_failed", request_id=request_id, route=route_of(scope))
            if status:  # the answer has begun; only breaking it off tells the caller that it is not whole
                raise
            await problem_response(error, request_id)(scope, receive, send_with_id)
        finally:
            seconds, route = time.perf_counter() - started, route_of(scope)
            untimed = UNTIMED in state
            self._metrics.answered_aside(route, status, None if untimed else seconds)
            if status >= 500 or (seconds >= self._lines.from_s and not untimed):
                self._lines.write(route, status, seconds, request_id)

    def _refusal(self, scope: Scope, headers: Mapping[bytes, bytes]) -> HTTPException | None:
        """Note who calls; return why they may not, if so."""
        try:
            scope["state"]["caller"] = self._keys.admit(headers, self._needed(scope["path"]))
        except HTTPException as refusal:
            return refusal
        return None


def route_of(scope: Scope) -> str:
    """Return the versioned template of the route, so that no path of a caller becomes a label."""
    return versioned(getattr(scope.get("route"), "path", "other"))


def versioned(template: str) -> str:
    """Return the path that an alias stands for, and any other as it is."""
    return f"/v1{template}" if template in _ALIASES else template

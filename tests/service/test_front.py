"""Hot routes are answered by the front, and look from outside like every other route."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from fastapi import APIRouter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import InvalidInput, LogUnavailable, TooLarge
from service import problems
from service.front import Asked, Front, hot_router
from service.keys import KeyRing
from service.limits import Limits
from service.metrics import Metrics
from service.settings import ServiceSettings

Behaviour = Callable[[bytes], Awaitable[bytes]]
WHOLE: list[Message] = [{"type": "http.request", "body": b"abc", "more_body": False}]


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Seen:
    """Middleware that notes which paths the framework is asked for."""

    def __init__(self, app: ASGIApp, paths: list[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._paths.append(scope["path"])
        await self._app(scope, receive, send)


async def echo(body: bytes) -> bytes:
    return orjson.dumps(body.decode())


def front_of(home: Path, behaviour: Behaviour = echo, metrics: Metrics | None = None, **bounds: float) -> Front:
    """Return an application with a hot route, `/v1/score`, and a cold one, `/cold`."""
    metrics = metrics or Metrics()
    settings = ServiceSettings.model_validate({"home": home} | bounds)
    app = Front(Limits(settings, metrics), metrics, KeyRing(settings, metrics))
    problems.install(app)
    hot, cold = hot_router("hot"), APIRouter()

    @hot.post("/v1/score", status_code=202)
    @hot.post("/score", status_code=202, include_in_schema=False)
    async def answer(body: bytes, asked: Asked) -> bytes:
        """Answer at once."""
        return await behaviour(body)

    @cold.post("/cold")
    async def slowly() -> str:
        return "abc"

    app.include(hot)
    app.include(cold)
    return app


async def ask(
    app: ASGIApp,
    path: str = "/v1/score",
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    messages: Sequence[Message] = WHOLE,
) -> Answered:
    """Send one request whose body comes as `messages`; after them nothing more comes."""
    arriving, sent = list(messages), list[Message]()

    async def receive() -> Message:
        if not arriving:
            await asyncio.Event().wait()
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "query_string": b""}
    await app(scope | {"root_path": "", "http_version": "1.1"}, receive, send)
    head, *rest = sent
    return Answered(head["status"], dict(head["headers"]), b"".join(message["body"] for message in rest))


def count(metrics: Metrics, route: str, status: str) -> float:
    return metrics.registry.get_sample_value("winnow_requests_total", {"route": route, "status": status}) or 0


def test_the_framework_is_asked_for_cold_routes_only(home: Path) -> None:
    app, asked_of_framework = front_of(home), list[str]()
    app.add_middleware(Seen, paths=asked_of_framework)
    answers = [asyncio.run(ask(app, path)) for path in ("/v1/score", "/cold", "/score")]
    assert [(answer.status, answer.body) for answer in answers] == [(202, b'"abc"'), (200, b'"abc"'), (202, b'"abc"')]
    assert asked_of_framework == ["/cold"]


def test_a_hot_route_has_the_headers_of_a_cold_one(home: Path) -> None:
    app, headers = front_of(home), [(b"x-request-id", b"mine-1")]
    hot, cold = (asyncio.run(ask(app, path, headers=headers)).headers for path in ("/v1/score", "/cold"))
    assert hot == cold
    assert hot == {
        b"content-type": b"application/json",
        b"content-length": b"5",
        b"x-request-id": b"mine-1",
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
        b"content-security-policy": b"default-src 'none'",
    }


def test_a_hot_route_is_documented_once_by_its_name_and_docstring(home: Path) -> None:
    paths = front_of(home).openapi()["paths"]
    assert sorted(paths) == ["/cold", "/v1/score"]
    route = paths["/v1/score"]["post"]
    assert (route["summary"], route["description"], route["tags"]) == ("Answer", "Answer at once.", ["hot"])
    assert "202" in route["responses"]
    assert "parameters" not in route


def test_other_methods_on_a_hot_path_are_refused_by_the_framework(home: Path) -> None:
    answer = asyncio.run(ask(front_of(home), method="GET"))
    assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")
    assert answer.headers[b"content-type"] == b"application/problem+json"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidInput("bad"), 422, None),
        (TooLarge("too much"), 413, None),
        (LogUnavailable("no log"), 503, b"1"),
        (RuntimeError("secret"), 500, None),
    ],
)
def test_what_a_hot_route_raises_becomes_the_problem_it_is_anywhere(
    home: Path, error: Exception, status: int, retry_after: bytes | None
) -> None:
    async def refuse(_: bytes) -> bytes:
        raise error

    metrics = Metrics()
    answer = asyncio.run(ask(front_of(home, refuse, metrics)))
    problem = orjson.loads(answer.body)
    assert (answer.status, answer.headers[b"content-type"]) == (status, b"application/problem+json")
    assert (problem["status"], problem["request_id"].encode()) == (status, answer.headers[b"x-request-id"])
    assert answer.headers.get(b"retry-after") == retry_after
    assert ("secret" in problem["detail"], str(error) in problem["detail"]) == (False, status != 500)
    assert count(metrics, "/v1/score", f"{status // 100}xx") == 1


def test_an_alias_is_counted_with_the_path_it_stands_for(home: Path) -> None:
    metrics = Metrics()
    app = front_of(home, metrics=metrics)
    for path in ("/v1/score", "/score", "/cold"):
        asyncio.run(ask(app, path))
    assert (count(metrics, "/v1/score", "2xx"), count(metrics, "/cold", "2xx")) == (2, 1)
    assert metrics.registry.get_sample_value("winnow_request_seconds_count", {"route": "/v1/score"}) == 2


def test_a_body_that_breaks_off_never_reaches_the_handler(home: Path) -> None:
    async def unreachable(_: bytes) -> bytes:
        raise AssertionError

    metrics = Metrics()
    broken: list[Message] = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.disconnect"},
    ]
    asyncio.run(ask(front_of(home, unreachable, metrics), messages=broken))
    assert (count(metrics, "/v1/score", "4xx"), count(metrics, "/v1/score", "5xx")) == (1, 0)


def test_a_body_without_any_byte_times_out_and_the_connection_is_closed(home: Path) -> None:
    answer = asyncio.run(ask(front_of(home, body_timeout_s=0.01), messages=[]))
    assert (answer.status, answer.headers[b"connection"]) == (408, b"close")


def test_however_a_request_ends_it_is_no_longer_at_work(home: Path) -> None:
    async def endings() -> list[int]:
        working, never = asyncio.Event(), asyncio.Event()

        async def behave(body: bytes) -> bytes:
            if body == b"wait":
                working.set()
                await never.wait()
            return orjson.loads(body)["body"].encode()  # type: ignore[no-any-return]

        app = front_of(home, behave, max_requests_in_flight=1, body_timeout_s=0.01)
        cut = asyncio.create_task(ask(app, messages=[{"type": "http.request", "body": b"wait"}]))
        await working.wait()
        shed = await ask(app)
        cut.cancel()
        await asyncio.wait([cut])
        late = await ask(app, messages=[])
        faulty = await ask(app, messages=[{"type": "http.request", "body": b"{}"}])
        encoded = await ask(app, headers=[(b"content-encoding", b"gzip")])
        good = await ask(app, messages=[{"type": "http.request", "body": b'{"body":"fine"}'}])
        return [answer.status for answer in (shed, late, faulty, encoded, good)]

    assert asyncio.run(endings()) == [503, 408, 500, 415, 202]


def test_made_request_ids_differ(home: Path) -> None:
    app = front_of(home)
    ids = {asyncio.run(ask(app)).headers[b"x-request-id"] for _ in range(200)}
    assert len(ids) == 200
    assert {len(one) for one in ids} == {16}

"""Which requests get a line of their own in the log, and what it says."""

import asyncio

import httpx
import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from structlog.typing import EventDict

from contract.registry import Registry
from service.app import build
from service.request_lines import RequestLines
from service.settings import ServiceSettings
from tests.service.conftest import client_of, serving
from tests.versions import promote_version

ASKED = {"user_id": "u1", "candidates": ["v1"]}


@pytest.fixture(autouse=True)
def _every_level() -> None:
    """Forget what a test before has set up, such as the least level that is written."""
    structlog.reset_defaults()


def answered(lines: list[EventDict]) -> list[EventDict]:
    return [line for line in lines if line["event"] == "request_answered"]


def test_at_level_debug_each_request_has_a_line_with_its_id_and_the_version_that_answered(
    settings: ServiceSettings, registry: Registry
) -> None:
    promote_version(registry)
    every = settings.model_copy(update={"log_level": "debug"})
    with client_of(every) as client, capture_logs() as lines:
        version = serving(client)
        for route in ("/v1/score", "/v1/score:batch"):
            body = ASKED if route == "/v1/score" else {"requests": [ASKED]}
            client.post(route, json=body, headers={"x-request-id": "request-7"})
            assert {**answered(lines)[-1], "seconds": 0} == {
                "event": "request_answered",
                "log_level": "debug",
                "route": route,
                "status": 200,
                "seconds": 0,
                "request_id": "request-7",
                "version": version,
            }
        client.get("/livez")
        assert answered(lines)[-1]["route"] == "/livez"
        assert "version" not in answered(lines)[-1]


def test_by_default_a_quick_request_has_no_line_and_a_slow_one_a_warning(settings: ServiceSettings) -> None:
    with client_of(settings) as client, capture_logs() as lines:
        assert client.post("/v1/score", json=ASKED).status_code == 200
    assert answered(lines) == []
    with client_of(settings.model_copy(update={"slow_request_s": 1e-9})) as client, capture_logs() as lines:
        request_id = client.post("/v1/score", json=ASKED).json()["request_id"]
    [line] = answered(lines)
    assert (line["log_level"], line["request_id"], line["version"]) == ("warning", request_id, "prior")


def test_an_answer_of_5xx_is_a_warning_however_quick(settings: ServiceSettings) -> None:
    with client_of(settings.model_copy(update={"redis_url": None})) as client, capture_logs() as lines:
        event = {"event_id": "e", "user_id": "u", "item_id": "v", "at": 1, "watch_ms": 1}
        assert client.post("/v1/feedback", json=event).status_code == 503
        assert client.post("/v1/feedback", json={}).status_code == 422
    assert [(line["status"], line["log_level"]) for line in answered(lines)] == [(503, "warning")]


def test_a_storm_of_slow_requests_is_one_line_and_the_next_says_how_many_had_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("service.request_lines.time.monotonic", lambda: now)
    requests = RequestLines(slow_s=0.5)
    with capture_logs() as lines:
        for _ in range(1_000):
            requests.write("/v1/score", 200, 0.6, "r")
        now += 1.0
        requests.write("/v1/score", 200, 0.6, "r")
    assert [line["untold"] for line in lines] == [0, 999]


def test_what_happens_within_a_request_is_logged_with_its_id(settings: ServiceSettings, registry: Registry) -> None:
    version = promote_version(registry)[0]

    async def pin() -> httpx.Response:
        transport = httpx.ASGITransport(build(settings).admin)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9000") as http:
            path = f"/admin/models/{version}:pin"
            return await http.post(path, json={"why": "a test"}, headers={"x-request-id": "request-7"})

    with capture_logs(processors=[merge_contextvars]) as lines:
        assert asyncio.run(pin()).status_code == 200
    [line] = [line for line in lines if line["event"] == "champion_changed"]
    assert (line["request_id"], line["version"]) == ("request-7", version)

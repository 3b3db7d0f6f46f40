"""What a traced request says, what it never says, and that no collector can slow a request down."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import redis
from structlog.testing import capture_logs

from contract.async_event_log import AsyncEventLog
from contract.event_log import EventLog
from contract.events import EventLists, FeedbackEvent
from contract.hashing import id_keys, partitions_of
from contract.open_telemetry import FLUSH_S, Span, Traces
from contract.registry import Registry
from contract.trace_parents import MOST_PARENTS
from service.intake import Intake
from service.settings import ServiceSettings
from tests.collector import Collector, running_collector
from tests.service.conftest import Client, client_of, until
from tests.versions import ITEMS, promote_version

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "request-7"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
ASKED = {"user_id": "u1", "candidates": [*ITEMS, "secret-item"]}
EVENT = {"event_id": "secret-event", "user_id": "secret-user", "item_id": "secret-item", "at": 1, "watch_ms": 1}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with running_collector() as collector:
        for name, value in collector.environment().items():
            monkeypatch.setenv(name, value)
        yield collector


@pytest.fixture
def traced(collector: Collector, settings: ServiceSettings, registry: Registry) -> Iterator[Client]:
    """A service with a version, that tells the collector."""
    promote_version(registry)
    with client_of(settings) as client:
        yield client


def test_a_score_is_followed_from_its_caller_into_the_servable(traced: Client, collector: Collector) -> None:
    answer = traced.post("/v1/score", json=ASKED, headers=SAMPLED).json()
    until(lambda: len(collector.spans()) == 2)
    [request], [servable] = collector.spans("POST /v1/score"), collector.spans("servable")
    assert (request.trace_id, request.parent_id) == (TRACE, SPAN)
    assert request.about["winnow.request_id"] == "request-7"
    assert (servable.trace_id, servable.parent_id) == (TRACE, request.span_id)
    assert servable.about == {
        "winnow.version": answer["model"]["version"],
        "winnow.candidates": len(ITEMS) + 1,
        "winnow.known_share": pytest.approx(len(ITEMS) / (len(ITEMS) + 1)),
        "winnow.known_user": True,
        "winnow.fallback": False,
    }


def test_a_batch_has_a_span_for_each_user(traced: Client, collector: Collector) -> None:
    traced.post("/v1/score:batch", json={"requests": [ASKED, ASKED | {"user_id": "u2"}]})
    until(lambda: len(collector.spans()) == 3)
    [request] = collector.spans("POST /v1/score:batch")
    assert [span.parent_id for span in collector.spans("servable")] == [request.span_id] * 2


def test_a_request_that_its_caller_does_not_sample_makes_no_span_and_marks_no_entry(
    traced: Client, collector: Collector, log_url: str
) -> None:
    traced.post("/v1/score", json=ASKED, headers=UNSAMPLED)
    assert traced.post("/v1/feedback", json=EVENT, headers=UNSAMPLED).status_code == 202
    traced.post("/v1/labels", json=EVENT)  # sampled: what comes before it has been sent, or never is
    until(lambda: bool(collector.spans("POST /v1/labels")))
    assert len(collector.spans()) == 1
    with redis.Redis.from_url(log_url) as server:
        [[(_, fields)]] = [server.xrange(key) for key in server.keys("winnow:events:*")]
    assert set(fields) == {b"block", b"events"}


@pytest.mark.parametrize("body", ["{", json.dumps(EVENT | {"watch_ms": "secret"}), json.dumps(EVENT)])
def test_no_id_and_no_word_of_a_caller_is_in_a_span(traced: Client, collector: Collector, body: str) -> None:
    for route in ("/v1/feedback", "/v1/labels", "/v1/score"):
        traced.post(route, content=body, headers={"content-type": "application/json", "tracestate": "secret=1"})
    traced.post("/v1/score", json=ASKED)
    until(lambda: len(collector.spans("servable")) == 1)
    assert not any(b"secret" in sent for sent in collector.bodies)


def test_a_failed_append_is_an_error_by_its_class_only(settings: ServiceSettings, collector: Collector) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    with client_of(away) as client:
        assert client.post("/v1/feedback", json=EVENT).status_code == 503
    [request], [append] = collector.spans("POST /v1/feedback"), collector.spans("append")
    assert (request.error, request.about["error.type"]) == (True, "503")
    assert (append.error, append.about["error.type"]) == (True, "LogUnavailable")


@pytest.mark.usefixtures("collector")
def test_an_entry_names_the_requests_whose_events_it_holds_and_eight_at_most(log_url: str) -> None:
    traces = Traces("winnow-test")
    users_of = [["a", "b", "c"], ["d", "e", "f", "g"], *[["h"]] * (MOST_PARENTS - 1), ["i"]]
    begun: list[Span] = []

    async def one(intake: Intake, users: list[str]) -> None:
        events = [FeedbackEvent(event_id=f"e-{user}", user_id=user, item_id="v", at=1, watch_ms=1) for user in users]
        span = traces.request("/v1/feedback", None, "r")
        assert span is not None
        with span:
            begun.append(span)
            await intake.store(EventLists.of_models(events), 1, span)

    async def run() -> None:
        log = AsyncEventLog(log_url, 5.0, 1_000)
        intake = Intake(log, 5.0, lambda _: None)
        await asyncio.gather(*(one(intake, users) for users in users_of))
        await intake.close()
        await log.close()

    asyncio.run(run())
    with closing(EventLog(log_url)) as log:
        entries = log.read_after({}, 100).entries
    partitions_of_each = [set(partitions_of(id_keys(users)).tolist()) for users in users_of[:MOST_PARENTS]]
    for entry in entries:
        mine = [
            span.traceparent for span, its in zip(begun, partitions_of_each, strict=False) if entry.partition in its
        ]
        assert entry.trace == b" ".join(mine)
    assert len(entries) > 4
    assert min(len(entry.trace) for entry in entries) < max(len(entry.trace) for entry in entries)
    traces.close()


def test_a_collector_that_is_away_costs_one_log_line_and_no_request(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
    with capture_logs() as lines, client_of(settings) as client:

        def told() -> list[object]:
            return [line for line in lines if line["event"] == "traces_not_sent"]

        until(lambda: client.post("/v1/score", json=ASKED).status_code == 200 and bool(told()))
        for _ in range(20):
            assert client.post("/v1/feedback", json=EVENT).status_code == 202
        began = time.monotonic()
    assert time.monotonic() - began < FLUSH_S + 2
    assert len(told()) == 1


def test_a_collector_that_never_answers_delays_neither_requests_nor_the_end(
    settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")  # its thread is waited for in the end
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
        with client_of(settings) as client:
            client.post("/v1/score", json=ASKED)
            held, _ = silent.accept()
            took = []
            for _ in range(100):  # far more than the queue holds
                began = time.monotonic()
                assert client.post("/v1/score", json=ASKED).status_code == 200
                took.append(time.monotonic() - began)
            ended = time.monotonic()
        held.close()
        assert time.monotonic() - ended < FLUSH_S + 2
    assert sorted(took)[50] < 0.1  # a request that waited for an export would take seconds

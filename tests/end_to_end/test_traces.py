"""Traces: from a caller's own through the log to the window that learned it, by a collector that OTLP is sent to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from tests.collector import Collector, HeardSpan, running_collector
from tests.service.conftest import running_service, until

CALLER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
SERVER, PRODUCER, CONSUMER = 2, 4, 5
EVENTS = 40


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the processes of this test are told of."""
    with running_collector() as collector:
        for name, value in collector.environment().items():
            monkeypatch.setenv(name, value)
        yield collector


@contextmanager
def running_trainer(home: Path, log_url: str) -> Iterator[subprocess.Popen[bytes]]:
    settings = {"WINDOW_MS": "50", "PUBLISH_EVERY_S": "0.1", "CHECKPOINT_EVERY_S": "0.1", "TRAINER_METRICS_PORT": "0"}
    environment = os.environ | {f"WINNOW_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "winnow", "train", "--home", str(home), "--redis-url", log_url]
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def a_body() -> list[dict[str, object]]:
    """Events of several users, so that they lie in several entries."""
    return [
        {
            "event_id": f"secret-event-{n}",
            "user_id": f"secret-user-{n % 10}",
            "item_id": f"secret-item-{n}",
            "at": 1_650_000_000_000 + n,
            "watch_ms": 5_000,
            "duration_ms": 9_000,
        }
        for n in range(EVENTS)
    ]


def only(spans: list[HeardSpan]) -> HeardSpan:
    assert len(spans) == 1, spans
    return spans[0]


def test_feedback_is_followed_from_its_caller_to_the_version_that_learned_it(
    home: Path, log_url: str, collector: Collector
) -> None:
    headers = {"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01", "x-request-id": "request-7"}
    with running_service(home, log_url) as service, running_trainer(home, log_url) as trainer:
        sent = httpx.post(f"{service.url}/v1/feedback", json=a_body(), headers=headers)
        assert sent.status_code == 202
        until(lambda: bool(collector.spans("publish") and collector.spans("checkpoint")), 60)
        trainer.terminate()
        trainer.wait(60)

    request = only(collector.spans("POST /v1/feedback"))
    assert (request.process, request.kind) == ("winnow-service", SERVER)
    assert (request.trace_id, request.parent_id) == CALLER
    assert request.about["winnow.request_id"] == "request-7"
    assert request.about["http.response.status_code"] == 202
    append = only(collector.spans("append"))
    assert (append.kind, append.trace_id, append.parent_id) == (PRODUCER, CALLER[0], request.span_id)
    assert append.about["winnow.events"] == EVENTS
    assert int(append.about["winnow.partitions"]) > 1

    window = only([span for span in collector.spans("train") if (append.trace_id, append.span_id) in span.links])
    assert (window.process, window.kind, window.parent_id) == ("winnow-trainer", CONSUMER, "")
    assert window.trace_id != CALLER[0]
    assert (window.about["winnow.events"], window.about["winnow.batches"]) == (EVENTS, 1)
    assert only(collector.spans("step")).parent_id == window.span_id
    for name in ("checkpoint", "publish"):
        after = [span for span in collector.spans(name) if (window.trace_id, window.span_id) in span.links]
        assert only(after).process == "winnow-trainer"
        assert not after[0].error
    assert only([span for span in collector.spans("publish") if span.links]).about["winnow.version"] == "000001"
    assert not any(b"secret" in body for body in collector.bodies)


def test_by_default_no_span_is_sent_and_an_entry_has_no_field_for_them(home: Path, log_url: str) -> None:
    with running_collector() as collector:
        with running_service(home, log_url) as service:
            headers = {"traceparent": f"00-{CALLER[0]}-{CALLER[1]}-01"}
            assert httpx.post(f"{service.url}/v1/feedback", json=a_body(), headers=headers).status_code == 202
            service.process.terminate()
            assert service.process.wait(30) == 0
        assert collector.bodies == []
    with redis.Redis.from_url(log_url) as server:
        entries = [fields for key in server.keys("winnow:events:*") for _, fields in server.xrange(key)]
    assert len(entries) > 1
    assert all(set(fields) == {b"block", b"events"} for fields in entries)


def test_nothing_that_traces_is_imported_while_traces_are_off() -> None:
    """The API and metrics may be: the client of Redis imports them where they are installed."""
    check = "import sys, service.app, trainer.app; from contract.traces import traces_of; assert traces_of('x') is None"
    traces = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "contract.open_telemetry")
    say = f"print(sorted(name for name in sys.modules if name.startswith({traces})))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", f"{check}\n{say}"]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"

"""The live stream of a real service beside a real trainer: hello, ticks, progress, and what ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest
from msgspec.structs import replace

from contract.event_log import EventLog
from contract.journal import Journal
from service.console.feed import MOST_STREAMS
from tests.contract.journal_entries import direction, progress, version
from tests.service.conftest import running_service
from tests.service.console.reading import LIVE, Reader, reading, until
from tests.trainer.conftest import some_events
from winnow.embedded_log import EmbeddedLog
from winnow.player import as_json

_TRAIN = "import sys, trainer.app, trainer.settings as s; sys.exit(trainer.app.run(s.TrainerSettings()))"


@contextmanager
def running_trainer(home: Path, log_url: str) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "HOME": str(home), "REDIS_URL": log_url, "WINDOW_MS": "50", "CHECKPOINT_EVERY_S": "0.5", "META_EVERY": "512",
        "PUBLISH_EVERY_S": "0.5", "USER_CAPACITY": "500", "ITEM_CAPACITY": "500", "TRAINER_METRICS_PORT": "0",
        "GATE_MIN_EVENTS": "500", "WAIT_EVENTS": "2048", "DEDUPE_EVENTS": "20000",
    }  # fmt: skip
    environment = os.environ | {f"WINNOW_{name}": value for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-c", _TRAIN], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def feed(url: str, count: int, prefix: str = "e") -> None:
    events = some_events(count, prefix=prefix)
    with httpx.Client(base_url=url, timeout=30) as http:
        for start in range(0, count, 500):
            body = orjson.dumps(as_json(events.take(slice(start, start + 500))))
            assert http.post("/v1/feedback", content=body).status_code == 202


def latest(reader: Reader, kind: str, name: str) -> object:
    told = reader.of(kind)
    return told[-1][name] if told else None


def metrics_of(url: str) -> str:
    return httpx.get(url + "/metrics", timeout=30).text


@pytest.mark.timeout(240)
def test_what_is_sent_is_seen_in_ticks_progress_directions_and_a_version(home: Path, log_url: str) -> None:
    with running_service(home, log_url) as service, running_trainer(home, log_url), reading(service.url) as reader:
        until(lambda: bool(reader.events))
        assert reader.events[0][0] == "hello"
        assert set(reader.events[0][1]) == {"ticks", "progress", "directions", "versions"}
        feed(service.url, 6_000)
        until(lambda: latest(reader, "tick", "acknowledged") == 6_000)
        until(lambda: latest(reader, "progress", "trained") == 6_000, 60)
        until(lambda: any(told["promoted"] for told in reader.of("version")), 60)
        taken_over = next(told["version"] for told in reader.of("version") if told["promoted"])
        until(lambda: str(latest(reader, "tick", "version")) >= taken_over, 60)
        until(lambda: latest(reader, "tick", "lag_entries") == 0, 60)
        assert reader.of("direction")
        trained = [told["trained"] for told in reader.of("progress")]
        assert trained == sorted(trained)
        httpx.post(service.url + "/v1/score", json={"user_id": "u1", "candidates": ["v1"]}, timeout=30)
        until(lambda: any(told["p99_ms"] is not None for told in reader.of("tick")))
        with reading(service.url) as later:  # who comes later is told what there was
            until(lambda: bool(later.events))
            hello = later.events[0][1]
            assert hello["progress"][-1]["trained"] == 6_000
            assert hello["ticks"][-1]["acknowledged"] == 6_000
            assert hello["versions"]
            assert hello["directions"]
            until(lambda: len(later.of("progress")) >= 1)
            assert later.of("progress")[0]["at_ms"] > hello["progress"][-1]["at_ms"]


def test_while_the_log_is_away_ticks_go_on_and_afterwards_the_journal_too(home: Path, tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.start()
    try:
        with running_service(home, log.url, log_poll_s="0.1") as service, reading(service.url) as reader:
            until(lambda: latest(reader, "tick", "log_up") is True)
            assert log.pid is not None
            os.kill(log.pid, signal.SIGKILL)
            until(lambda: latest(reader, "tick", "log_up") is False)
            before = len(reader.of("tick"))
            until(lambda: len(reader.of("tick")) >= before + 2)
            log.start()
            _write(log.url)
            until(lambda: latest(reader, "tick", "log_up") is True)
            until(lambda: [told["trained"] for told in reader.of("progress")] == [7])
    finally:
        log.stop()


def _write(url: str) -> None:
    log = EventLog(url)
    Journal(log).write([progress(7), direction(), version()])
    log.close()


def test_sigterm_ends_a_stream_at_once(home: Path, log_url: str) -> None:
    with running_service(home, log_url, drain_timeout_s="60") as service, reading(service.url) as reader:
        until(lambda: bool(reader.of("tick")))
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert reader.is_over.wait(5)
        assert service.process.wait(10) == 0
        assert time.monotonic() - started < 10


def test_during_the_grace_no_stream_is_opened(home: Path) -> None:
    with running_service(home, drain_grace_s="5") as service:
        with reading(service.url) as reader:
            until(lambda: bool(reader.of("tick")))
            service.process.send_signal(signal.SIGTERM)
            assert reader.is_over.wait(4)
        assert httpx.get(service.url + LIVE, timeout=30).status_code == 503


def test_the_thirty_third_reader_is_told_to_come_later(home: Path) -> None:
    with running_service(home) as service:
        connections = [_ask(service.url) for _ in range(MOST_STREAMS)]
        for connection in connections:
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        refused = httpx.get(service.url + LIVE, timeout=30)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "15")
        assert refused.headers["content-type"] == "application/problem+json"
        connections.pop().close()
        until(lambda: _is_welcome(service.url))
        for connection in connections:
            connection.close()


def _ask(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(f"GET {LIVE} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
    return connection


def _is_welcome(url: str) -> bool:
    with _ask(url) as connection:
        return connection.recv(1_000).startswith(b"HTTP/1.1 200")


def test_a_stream_is_no_latency_and_holds_no_slot(home: Path) -> None:
    with running_service(home, max_requests_in_flight="1") as service:
        with reading(service.url) as reader:
            until(lambda: bool(reader.of("tick")))
            answer = httpx.post(service.url + "/v1/score", json={"user_id": "u1", "candidates": ["v1"]}, timeout=30)
            assert answer.status_code == 200
            assert "winnow_console_streams 1.0" in metrics_of(service.url)
        counted = 'winnow_requests_total{route="/console",status="2xx"} 1.0'
        until(lambda: counted in metrics_of(service.url))
        assert 'winnow_request_seconds_count{route="/console"} 0.0' in metrics_of(service.url)


def test_a_stream_has_the_headers_that_proxies_and_pages_need(home: Path) -> None:
    with running_service(home) as service, httpx.stream("GET", service.url + LIVE, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_reader_that_takes_nothing_does_not_hold_up_the_end(
    home: Path, log_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    log = EventLog(log_url)
    now_ms = time.time_ns() // 1_000_000
    Journal(log).write([replace(version(), at_ms=now_ms, reasons=["x" * 15_000])] * 900)  # more than kernels buffer
    log.close()
    with running_service(home, log_url, drain_timeout_s="60") as service, _ask(service.url) as connection:
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        with reading(service.url) as beside:
            until(lambda: len(beside.of("tick")) >= 2)  # nobody else waits for it
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0
    assert "ASGI" not in capfd.readouterr().err

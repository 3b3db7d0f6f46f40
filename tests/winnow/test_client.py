"""The client: what it retries, what it never changes, and what it tells."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from contract.errors import InvalidInput, TooLarge
from winnow.client import AsyncClient, Client
from winnow.retries import RetryPolicy, ServiceUnavailable, wait_before_retry

QUICK = RetryPolicy(deadline_s=2.0, first_wait_s=0.001, longest_wait_s=0.01)
EVENT = {"user_id": "u1", "item_id": 7, "at": 1, "watch_ms": 5}


@dataclass
class Flaky:
    """A server that gives its planned statuses (0 = drops the connection), then takes whatever it is sent."""

    plan: list[int]
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def flaky_server(*plan: int, headers: dict[str, str] | None = None) -> Iterator[Flaky]:
    flaky = Flaky(list(plan), headers=headers or {})

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            flaky.bodies.append(body)
            status = flaky.plan.pop(0) if flaky.plan else 202
            if status == 0:
                self.close_connection = True
                return
            ids = [event["event_id"] for event in orjson.loads(body)] if status == 202 else []
            problem = {"title": "t", "status": status, "detail": "no", "errors": [{"field": "0.at", "problem": "late"}]}
            content = orjson.dumps({"accepted": len(ids), "event_ids": ids} if status == 202 else problem)
            self.send_response(status)
            for name, value in {**flaky.headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    flaky.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield flaky
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_retried_request_carries_the_same_event_ids() -> None:
    with flaky_server(503, 429, 0) as flaky, Client(flaky.url, policy=QUICK) as client:
        accepted = client.feedback([EVENT, {**EVENT, "event_id": "mine"}])
    assert len(flaky.bodies) == 4
    assert len(set(flaky.bodies)) == 1
    assert client.retries == 3
    assert accepted.accepted == 2
    assert accepted.event_ids[1] == "mine"
    assert len(accepted.event_ids[0]) == 36


def test_the_async_client_retries_the_same_way() -> None:
    async def send(url: str) -> int:
        async with AsyncClient(url, policy=QUICK) as client:
            await client.feedback([EVENT])
            return client.retries

    with flaky_server(503, 0) as flaky:
        assert asyncio.run(send(flaky.url)) == 2
    assert len(set(flaky.bodies)) == 1


@pytest.mark.parametrize(("status", "error"), [(400, InvalidInput), (413, TooLarge), (422, InvalidInput)])
def test_a_refusal_is_not_retried_and_says_what_the_service_said(status: int, error: type[Exception]) -> None:
    with (
        flaky_server(status) as flaky,
        Client(flaky.url, policy=QUICK) as client,
        pytest.raises(error, match=r"no \(0\.at: late\)"),
    ):
        client.feedback([EVENT])
    assert len(flaky.bodies) == 1


def test_a_service_that_stays_away_is_reported_within_the_deadline() -> None:
    policy = RetryPolicy(deadline_s=0.05, first_wait_s=0.001, longest_wait_s=0.01)
    with flaky_server(*[503] * 100) as flaky, Client(flaky.url, policy=policy) as client:
        with pytest.raises(ServiceUnavailable, match="no"):
            client.feedback([EVENT])
        assert 1 < len(flaky.bodies) < 100


def test_retry_after_beyond_the_deadline_ends_the_call_at_once() -> None:
    with (
        flaky_server(503, headers={"retry-after": "60"}) as flaky,
        Client(flaky.url, policy=QUICK) as client,
        pytest.raises(ServiceUnavailable),
    ):
        client.feedback([EVENT])
    assert len(flaky.bodies) == 1


def test_waits_double_up_to_a_bound_are_jittered_and_honour_retry_after() -> None:
    policy = RetryPolicy(deadline_s=10, first_wait_s=0.1, longest_wait_s=0.5)
    waits = [wait_before_retry(policy, attempts, 0, 0, draw=0) for attempts in (1, 2, 3, 4, 99)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])
    assert wait_before_retry(policy, 1, 0, 0, draw=1) == pytest.approx(0.05)
    assert wait_before_retry(policy, 1, 0, retry_after_s=3, draw=0) == 3
    assert wait_before_retry(policy, 1, 9.95, 0, draw=0) is None

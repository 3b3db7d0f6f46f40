"""What happens on the wire: heads that are late, large or no HTTP, and requests refused from their bytes."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import orjson
import pytest

from service.backlog import Backlog
from service.connection import MAX_HEAD_BYTES, Connection, Door
from service.metrics import Metrics
from tests.service.conftest import ServiceProcess, running_service, until

BODY = b'{"user_id": "u1", "candidates": ["v1"]}'
HEAD = b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 39\r\n"
GOOD = HEAD + b"\r\n" + BODY


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    home = tmp_path_factory.mktemp("home")
    with running_service(home, header_timeout_s="0.3", body_timeout_s="0.3", keep_alive_s="1") as service:
        yield service


def connected(url: str) -> socket.socket:
    where = httpx.URL(url)
    return socket.create_connection((where.host, where.port or 80), timeout=20)


def answer_on(connection: socket.socket) -> bytes:
    """Return one whole answer."""
    seen = b""
    while b"\r\n\r\n" not in seen or len(seen.split(b"\r\n\r\n", 1)[1]) < length_in(seen):
        more = connection.recv(65_536)
        assert more, seen
        seen += more
    return seen


def length_in(seen: bytes) -> int:
    return int(seen.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


def exchange(url: str, *parts: bytes) -> bytes:
    """Send parts and return all that comes until the other side hangs up."""
    with connected(url) as connection:
        for part in parts:
            connection.sendall(part)
        seen = b""
        while more := connection.recv(65_536):
            seen += more
        return seen


BAD = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "unknown method": b"BREW /v1/score HTTP/1.1\r\nhost: x\r\n\r\n",
    "both lengths": HEAD + b"transfer-encoding: chunked\r\n\r\n27\r\n" + BODY + b"\r\n0\r\n\r\n",
    "two different lengths": HEAD + b"content-length: 38\r\n\r\n" + BODY,
    "two equal lengths": HEAD + b"content-length: 39\r\n\r\n" + BODY,
    "negative length": b"POST /v1/score HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "huge length": b"POST /v1/score HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "broken chunk": b"POST /v1/score HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "space before colon": HEAD + b"x : y\r\n\r\n" + BODY,
    "folded": HEAD + b"x: a\r\n b\r\n\r\n" + BODY,
    "NUL in a value": HEAD + b"x: \x00\r\n\r\n" + BODY,
    "CONNECT": b"CONNECT example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_http_is_a_problem_and_the_end(service: ServiceProcess, name: str) -> None:
    seen = exchange(service.url, BAD[name])
    head, body = seen.split(b"\r\n\r\n", 1)
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 ")), seen
    assert b"content-type: application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head
    assert orjson.loads(body)["status"] in (400, 408)
    assert httpx.get(service.url + "/livez").status_code == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /v1/score HTTP/1.0\r\ncontent-length: 39\r\n\r\n" + BODY, 200),
        (b"POST http://x/v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 39\r\nconnection: close\r\n\r\n" + BODY, 200),
        (b"DELETE /v1/score HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
        (b"OPTIONS /v1/score HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
        (b"HEAD /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 405),
    ],
)
def test_odd_requests_are_answered_as_they_deserve(service: ServiceProcess, request_bytes: bytes, status: int) -> None:
    seen = exchange(service.url, request_bytes)
    assert seen.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nserver:" not in seen.lower()


def test_a_chunked_body_without_an_end_is_cut_off_by_its_deadline(service: ServiceProcess) -> None:
    head = b"POST /v1/score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
    assert exchange(service.url, head).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("parts", [[b""], [b"POST /v1/sc"], [HEAD], [GOOD, HEAD]], ids=["none", "line", "head", "next"])
def test_a_head_that_does_not_come_ends_the_connection(service: ServiceProcess, parts: list[bytes]) -> None:
    began = time.monotonic()
    seen = exchange(service.url, *parts)
    assert time.monotonic() - began < 5
    assert seen.endswith(b"}") is (parts != [b""])
    assert (b"HTTP/1.1 408 " in seen) is (parts != [b""])
    assert (b"HTTP/1.1 200 " in seen) is (GOOD in parts)


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_head_over_the_bound_is_refused(service: ServiceProcess, pieces: int) -> None:
    flood = HEAD + b"x: " + b"a" * (2 * MAX_HEAD_BYTES)
    step = len(flood) // pieces + 1
    with connected(service.url) as connection:
        for start in range(0, len(flood), step):
            try:
                connection.sendall(flood[start : start + step])
            except (BrokenPipeError, ConnectionResetError):
                break
        try:
            seen = connection.recv(65_536)
        except ConnectionResetError:  # it hung up on bytes that were still under way
            seen = b"HTTP/1.1 431 "
    assert seen.startswith(b"HTTP/1.1 431 ")


def test_requests_in_a_row_and_in_one_packet_are_answered_in_order(service: ServiceProcess) -> None:
    seen = exchange(service.url, GOOD + b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" + GOOD)
    statuses = [part[:4] for part in seen.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200 "] * 3


def test_work_that_would_wait_too_long_is_refused_while_probes_answer(home: Path) -> None:
    # One request may wait, whatever it costs.
    with running_service(home, max_queue_s="0.000001") as service, ExitStack() as stack:
        connections = [stack.enter_context(connected(service.url)) for _ in range(40)]
        for connection in connections:  # one answer each, so that all have been taken in
            connection.sendall(GOOD)
            assert answer_on(connection).startswith(b"HTTP/1.1 200 ")
        service.process.send_signal(signal.SIGSTOP)
        for connection in connections:
            connection.sendall(GOOD)
        probe = stack.enter_context(connected(service.url))
        probe.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        service.process.send_signal(signal.SIGCONT)
        answers = [answer_on(connection) for connection in connections]
        assert probe.recv(65_536).startswith(b"HTTP/1.1 200 ")
        statuses = [answer[9:12] for answer in answers]
        assert set(statuses) == {b"200", b"503"}
        refused = next(answer for answer in answers if answer[9:12] == b"503")
        assert b"retry-after: 1\r\n" in refused
        assert orjson.loads(refused.split(b"\r\n\r\n")[1])["status"] == 503
        first = connections[statuses.index(b"503")]
        first.sendall(GOOD)  # the connection lives on
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")
        shed = f"winnow_requests_shed_total {statuses.count(b'503')}.0"
        until(lambda: shed in httpx.get(service.url + "/metrics").text)


SHED_ONLY = {  # what comes, and how many bytes of the body are still to come if it is refused
    "the request": (GOOD, 0),
    "another path": (GOOD.replace(b"/v1/score ", b"/v1/models "), None),
    "a query": (GOOD.replace(b"/v1/score ", b"/v1/score?a "), None),
    "a part of it": (GOOD[:-1], 1),
    "more than it": (GOOD + b"G", None),
    "its head": (HEAD + b"\r\n", 39),
    "a part of its head": (HEAD, None),
    "a huge length": (GOOD.replace(b": 39", b": 99999999"), None),
    "two lengths": (GOOD.replace(b"host: x", b"content-length: 39"), None),
    "chunks": (GOOD.replace(b"host: x", b"transfer-encoding: chunked"), None),
    "an expectation": (GOOD.replace(b"host: x", b"expect: 100-continue"), None),
    "HTTP/1.0": (GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"), None),
    "a length in words": (GOOD.replace(b": 39", b": 0x27"), None),
}


@pytest.mark.parametrize("name", SHED_ONLY)
def test_only_one_plain_request_is_refused_from_its_bytes(name: str) -> None:
    door = Door(Backlog(1.0), Metrics(), 1.0)
    door.hot_paths = {b"/v1/score": "/v1/score"}
    connection = door.connection_class().__new__(door.connection_class())
    assert isinstance(connection, Connection)
    connection.cycle = None  # type: ignore[assignment]
    data, missing = SHED_ONLY[name]
    hot = connection._hot_request(data)
    assert (hot.missing if hot else None) == missing

"""The service as a process of its own, over real HTTP: swaps under load, SIGTERM, what it imports."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from contract.api import ScoreResponse
from contract.blocks import decode_block
from contract.errors import SetupError
from contract.event_log import EventLog
from contract.registry import Registry
from service.app import serve
from service.settings import ServiceSettings
from tests.service.conftest import running_service, until
from tests.versions import ITEMS, Expected, stage_version

SWAPS = 30
CALLERS = 4


def test_the_service_imports_neither_torch_nor_onnx_nor_the_trainer() -> None:
    check = (
        "import sys, service.app;"
        "sys.exit(str(sorted({'torch', 'onnx', 'models', 'trainer', 'winnow', 'pandas'} & sys.modules.keys())))"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).stderr == b"[]\n"


def test_a_reload_storm_under_load_costs_no_request_and_mixes_no_versions(home: Path, registry: Registry) -> None:
    golden = dict(stage_version(registry, seed=seed) for seed in range(SWAPS))
    # Callers without a pause leave a proving process next to no processor: it would take five times as long.
    with running_service(home, prove_apart="false") as service:
        answers = asyncio.run(_storm(service.url, registry, golden))
    assert {answer.model.version for answer in answers} >= golden.keys()
    for answer in answers:
        version = answer.model.version
        for item in answer.items or []:
            expected = golden[version].score("u1", item.item_id) if version in golden else 0.02
            assert item.score == pytest.approx(expected, abs=1e-6), version


async def _storm(url: str, registry: Registry, golden: dict[str, Expected]) -> list[ScoreResponse]:
    """Ask without pause while every version is promoted in turn, each once the one before it has been seen."""
    answers: list[ScoreResponse] = []
    seen, done, wanted = asyncio.Event(), asyncio.Event(), ""

    async def ask(http: httpx.AsyncClient) -> None:
        while not done.is_set():
            response = await http.post("/v1/score", json={"user_id": "u1", "candidates": list(ITEMS)})
            assert response.status_code == 200, response.text
            answers.append(ScoreResponse.model_validate_json(response.content))
            if answers[-1].model.version == wanted:
                seen.set()

    async with httpx.AsyncClient(base_url=url, timeout=30) as http, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(ask(http))
        for version in golden:
            wanted = version
            seen.clear()
            await asyncio.to_thread(registry.promote, version, "a storm")
            await asyncio.wait_for(seen.wait(), 30)
        done.set()
    return answers


def accepts_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=30).close()
    except ConnectionRefusedError:
        return False
    return True


def test_sigterm_lets_a_running_request_finish_and_then_ends_well(home: Path, log_url: str) -> None:
    body = json.dumps({"event_id": "e1", "user_id": "u1", "item_id": "v1", "at": 1, "watch_ms": 1}).encode()
    with running_service(home, log_url) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = f"POST /v1/feedback HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"expect: 100-continue\r\n\r\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 100")  # the request is at work
            service.process.send_signal(signal.SIGTERM)
            until(lambda: not accepts_connections(host, int(port)))
            connection.sendall(body)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 202")
        assert service.process.wait(30) == 0
    log = EventLog(log_url)
    assert [decode_block(entry.block).event_id.tolist() for entry in log.read_after({}, 10).entries] == [["e1"]]
    log.close()


def test_an_oversized_body_is_refused_before_it_is_read(home: Path) -> None:
    with running_service(home) as service:
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"POST /v1/score HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n{")
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
        assert httpx.get(service.url + "/livez", timeout=30).status_code == 200


def test_a_port_that_is_taken_is_said_so(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"cannot listen on 127.0.0.1 port {port}"):
            serve(ServiceSettings(home=home, port=port))


def test_during_the_grace_requests_are_answered_while_balancers_are_sent_away(home: Path) -> None:
    with running_service(home, drain_grace_s="1") as service, httpx.Client(base_url=service.url, timeout=30) as http:
        assert http.get("/readyz").status_code == 200
        service.process.send_signal(signal.SIGTERM)
        until(lambda: http.get("/readyz").status_code == 503)
        answer = http.post("/v1/score", json={"user_id": "u1", "candidates": ["v1"]})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert http.get("/livez").status_code == 200
        assert service.process.wait(30) == 0

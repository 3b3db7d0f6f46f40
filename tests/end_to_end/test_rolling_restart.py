"""Two services behind the shipped nginx: restarted in turn under load, no caller notices (P6, P7)."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from tests.service.conftest import until

ROOT = Path(__file__).parents[2]
RATE = 300
_SERVE = "import sys, pathlib, service.app as a; a.serve(a.ServiceSettings(), pathlib.Path(sys.argv[1]))"
BODY = {"user_id": "u1", "candidates": ["v1", "v2"]}

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def start_service(home: Path, port: int) -> "subprocess.Popen[bytes]":
    announce = home / f"{port}.json"
    environment = os.environ | {"WINNOW_HOME": str(home), "WINNOW_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(announce)], env=environment)
    until(lambda: announce.exists() and orjson.loads(announce.read_bytes())["pid"] == process.pid, 60)
    return process


@contextlib.contextmanager
def shipped_nginx(directory: Path, port: int, replicas: list[int]) -> Iterator[str]:
    """Run nginx with the files of deploy/: other ports, other paths, nothing else."""
    config = (ROOT / "deploy/nginx.conf").read_text().replace("listen 8080;", f"listen 127.0.0.1:{port};")
    (directory / "nginx.conf").write_text(config.replace("/tmp/", f"{directory}/"))
    upstream = (ROOT / "deploy/nginx/upstream-local.conf").read_text()
    for number, replica in zip(("8788", "8789"), replicas, strict=True):
        upstream = re.sub(rf"\b{number}\b", str(replica), upstream)
    (directory / "upstream.conf").write_text(upstream)
    options = ["-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(["nginx", *options])
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: process.poll() is not None or answers(url))
        yield url
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url + "/livez", timeout=2).is_success
    except httpx.TransportError:
        return False


async def load(url: str, done: asyncio.Event) -> list[int]:
    """Send requests by the clock until `done`; return every status."""
    statuses: list[int] = []
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=url, timeout=20, limits=limits) as http, asyncio.TaskGroup() as requests:

        async def ask() -> None:
            statuses.append((await http.post("/v1/score", json=BODY)).status_code)

        loop = asyncio.get_running_loop()
        due = loop.time()
        while not done.is_set():
            requests.create_task(ask())
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))
    return statuses


@needs_nginx
def test_a_rolling_restart_behind_nginx_costs_no_request(home: Path) -> None:
    ports = [free_port(), free_port()]
    processes = [start_service(home, port) for port in ports]

    async def restarts(url: str) -> list[int]:
        done = asyncio.Event()
        sending = asyncio.create_task(load(url, done))
        for place in (0, 1):
            processes[place].send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(processes[place].wait, 30) == 0
            processes[place] = await asyncio.to_thread(start_service, home, ports[place])
        done.set()
        return await sending

    try:
        with shipped_nginx(home, free_port(), ports) as url:
            statuses = asyncio.run(restarts(url))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert len(statuses) > RATE / 2
    assert set(statuses) == {200}


@needs_nginx
def test_nginx_answers_what_is_not_http_as_a_problem_too(home: Path) -> None:
    port = free_port()
    process = start_service(home, port)
    try:
        with shipped_nginx(home, free_port(), [port, port]) as url:
            where = httpx.URL(url)
            with socket.create_connection((where.host, where.port or 80), timeout=20) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 40_000 + b"\r\n\r\n")
                seen = connection.recv(65_536)
            assert seen.startswith(b"HTTP/1.1 400 ")
            assert b"application/problem+json" in seen
            assert httpx.get(url + "/metrics").status_code == 404
    finally:
        process.kill()
        process.wait()

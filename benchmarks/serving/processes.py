"""Servers as processes of their own: started, waited for until they answer, and gone when the block ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from contract.errors import SetupError

_LOOK_S = 0.05
_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = httpx.URL(self.url)
        return url.host, url.port or 80


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log_file: Path,
    url: Callable[[], str | None],
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 90.0,
) -> Iterator[Running]:
    """Run a command until the block ends; yield once `url` names where it answers.

    It has a session of its own, so that whatever it started goes with it. Raises SetupError with its last words if it
    ends, or does not answer in time.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Running(_until_it_answers(process, command, log_file, url, timeout_s), process.pid)
    finally:
        _stop(process)


def answers(url: str, path: str = "/") -> Callable[[], str | None]:
    """Return a look at a server: its URL once a GET of `path` succeeds."""

    def look() -> str | None:
        try:
            return url if httpx.get(url + path, timeout=2, trust_env=False).is_success else None
        except httpx.TransportError:
            return None

    return look


@contextlib.contextmanager
def winnow_service(home: Path, name: str = "service", **settings: str) -> Iterator[Running]:
    """Run `winnow serve` on a free port with an event log of its own, or the one in `settings`."""
    announce = home / f"{name}.json"
    announce.unlink(missing_ok=True)
    command = [sys.executable, "-m", "winnow", "serve", "--port", "0", "--announce", str(announce)]
    environment = {"WINNOW_HOME": str(home), "WINNOW_LOG_JSON": "true", **settings}
    with running(command, home / "logs" / f"{name}.log", lambda: announced(announce), environment) as service:
        yield service


@contextlib.contextmanager
def winnow_loop(home: Path, **settings: str) -> Iterator[Running]:
    """Run `winnow up`: event log, trainer and service."""
    said = home / "up.json"
    said.unlink(missing_ok=True)
    command = [sys.executable, "-m", "winnow", "up", "--home", str(home), "--port", "0"]
    with running(command, home / "logs" / "up.log", lambda: announced(said), settings, timeout_s=150.0) as loop:
        yield loop


def announced(file: Path) -> str | None:
    """Return the URL that a process has written into a file, if it has."""
    with contextlib.suppress(FileNotFoundError):
        return str(orjson.loads(file.read_bytes())["url"])
    return None


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait until `condition` holds. Raises SetupError, naming what did not come, once the time is up."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SetupError(f"{what} did not come true within {timeout_s:g} s")
        time.sleep(_LOOK_S)


def _until_it_answers(
    process: subprocess.Popen[bytes],
    command: Sequence[str],
    log_file: Path,
    url: Callable[[], str | None],
    timeout_s: float,
) -> str:
    deadline = time.monotonic() + timeout_s
    while True:
        if found := url():
            return found
        ended, late = process.poll() is not None, time.monotonic() > deadline
        if ended or late:
            what = f"ended with {process.returncode}" if ended else f"did not answer within {timeout_s:g} s"
            raise SetupError(f"{' '.join(command[:4])} ... {what}; {log_file} ends with: {_last_words(log_file)!r}")
        time.sleep(_LOOK_S)


def _last_words(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process by SIGTERM, and whatever is left of its session by SIGKILL."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

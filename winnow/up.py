"""Everything on one machine: a private event log, the trainer and the service, watched over and stopped together.

A part that dies is started again on the same socket, port and state, with a growing pause. Stopping is in order: the
service drains, the trainer checkpoints, the log closes. What was acknowledged is on disk all the while.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import structlog

from contract.durable import write_atomically
from contract.errors import SetupError
from winnow.embedded_log import EmbeddedLog

log = structlog.get_logger()

_LOOK_EVERY_S = 0.1
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 30.0  # after this long alive, a part's pause starts small again


@dataclass
class Part:
    """One child process that should be running."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log_file: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started: float = field(default=0.0)
    pause_s: float = 0.1

    def start(self) -> None:
        """Start the process, its output added to the log file."""
        with self.log_file.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.started = time.monotonic()

    def revive(self) -> None:
        """Start the process again if it died, after its pause."""
        if self.process is None or self.process.poll() is None:
            return
        if time.monotonic() - self.started > _STEADY_S:
            self.pause_s = 0.1
        log.warning("part_died", part=self.name, exit_code=self.process.returncode, pause_s=self.pause_s)
        time.sleep(self.pause_s)
        self.pause_s = min(2 * self.pause_s, _LONGEST_PAUSE_S)
        self.restarts += 1
        self.start()

    def stop(self, timeout_s: float) -> None:
        """Ask the process to end and wait; kill it only if it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("part_killed", part=self.name, after_s=timeout_s)
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """Return the end of the part's log."""
        return self.log_file.read_text(errors="replace")[-800:].strip() if self.log_file.exists() else ""


class Loop:
    """The whole loop on one machine; a context manager."""

    def __init__(
        self,
        home: Path,
        redis_url: str | None = None,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a loop; nothing runs yet. `port` 0 takes a free one. `environment` adds WINNOW_ variables."""
        self.home = home.resolve()
        self._embedded = None if redis_url else EmbeddedLog(self.home)
        self._redis_url = redis_url
        self._port = port or _free_port()
        self._extra = dict(environment or {})
        self._parts: list[Part] = []
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="loop-watcher")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def redis_url(self) -> str:
        """The event log in use."""
        return self._embedded.url if self._embedded else str(self._redis_url)

    @property
    def pids(self) -> dict[str, int]:
        """The processes of the loop, by name; of the log only if it is the loop's own."""
        pids = {part.name: part.process.pid for part in self._parts if part.process}
        if self._embedded and self._embedded.pid:
            pids["log"] = self._embedded.pid
        return pids

    def start(self, timeout_s: float = 60.0) -> None:
        """Start everything and wait until the service answers. Raises SetupError with a part's last words if not."""
        logs = self.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        if self._embedded:
            self._embedded.start()
        environment = {
            **os.environ,
            **self._extra,
            "WINNOW_HOME": str(self.home),
            "WINNOW_REDIS_URL": self.redis_url,
            "WINNOW_PORT": str(self._port),
        }
        announce = self.home / "service.json"
        announce.unlink(missing_ok=True)
        for name, arguments in (("service", ["serve", "--announce", str(announce)]), ("trainer", ["train"])):
            command = [sys.executable, "-m", "winnow", *arguments]
            part = Part(name, command, environment, logs / f"{name}.log")
            part.start()
            self._parts.append(part)
        deadline = time.monotonic() + timeout_s
        while not announce.exists():
            service = self._parts[0].process
            if time.monotonic() > deadline or (service and service.poll() is not None):
                raise SetupError(f"the service did not start; its log ends with:\n{self._parts[0].last_words()}")
            time.sleep(_LOOK_EVERY_S)
        self._watcher.start()
        write_atomically(self.home / "up.json", orjson.dumps({"url": self.url, "pids": self.pids, "pid": os.getpid()}))

    def stop(self) -> None:
        """Stop everything in order. Safe to repeat."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for part in self._parts:
            part.stop(timeout_s=30.0)
        if self._embedded:
            self._embedded.stop()
        (self.home / "up.json").unlink(missing_ok=True)

    @property
    def restarts(self) -> int:
        """How often a child had to be started again."""
        return sum(part.restarts for part in self._parts)

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            if self._embedded and not self._embedded.is_alive():
                log.warning("part_died", part="log")
                with contextlib.suppress(SetupError):  # tried again at the next look
                    self._embedded.start()
            for part in self._parts:
                part.revive()


def stay_up(loop: Loop) -> None:
    """Wait until SIGTERM or SIGINT."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()
    log.info("stopping", pids=loop.pids)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])

"""Everything on one machine: the embedded log, the trainer and the service, started, kept alive and stopped in order.

    home/up.json    URLs, pids and restarts of what runs; absent while nothing does
    home/up.lock    held by the supervisor: one a home
    home/logs/      what the children write

A child that dies is started again, at once the first time and then with growing pauses, on the address it had. Stopping
goes with the data: first the service, which finishes what it was sent; then the trainer, which checkpoints; then the log.
"""

import contextlib
import fcntl
import importlib.util
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import orjson
import structlog

from contract.durable import write_atomically
from contract.errors import SetupError
from winnow.child import Child
from winnow.embedded_log import EmbeddedLog

_LOOK_S = 0.1
_READY_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = {"service": 30.0, "trainer": 120.0}
_DEATHS_THAT_MEAN_IT_CANNOT_START = 3

log = structlog.get_logger()


class Loop:
    """The whole loop under one home. A context manager: runs between `start` and `stop`."""

    def __init__(
        self, home: Path, *, redis_url: str | None = None, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        """Describe a loop; nothing runs yet.

        `redis_url` names an event log; without it an embedded one is run. `port` 0 takes a free one and keeps it.
        `environment` overrides settings of the children, such as {"WINNOW_BATCH_EVENTS": "64"}.
        """
        self.home = home.resolve()
        self.url = ""
        self._announce = self.home / "service.json"
        self._embedded = None if redis_url else EmbeddedLog(self.home)
        self._redis_url = redis_url or EmbeddedLog(self.home).url
        self._port = port
        self._extra = dict(environment or {})
        self._children: list[Child] = []
        self._log_restarts = 0
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def redis_url(self) -> str:
        """Where the event log listens."""
        return self._redis_url

    @property
    def pids(self) -> dict[str, int]:
        """The running processes: log (if embedded), trainer, service."""
        pids = {child.name: child.pid for child in self._children}
        if self._embedded is not None:
            pids["log"] = self._embedded.pid
        return {name: pid for name, pid in pids.items() if pid is not None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each was started again."""
        counts = {child.name: child.restarts for child in self._children}
        return {**counts, "log": self._log_restarts} if self._embedded else counts

    def start(self) -> None:
        """Start everything and return when scores are answered and feedback can be stored.

        Raises SetupError if another supervisor runs in this home, or something cannot start.
        """
        if importlib.util.find_spec("torch") is None:
            raise SetupError("the trainer needs torch: `pip install 'winnow-denoise[train]'`")
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        try:
            self._open.enter_context(_only_supervisor(self.home))
            if self._embedded is not None:
                self._open.enter_context(self._embedded)
            self._announce.unlink(missing_ok=True)
            self._children = [self._child("trainer"), self._child("service")]
            for child in self._children:
                child.start()
            self._wait_until_ready()
            self._watcher = threading.Thread(target=self._watch, name="supervisor")
            self._watcher.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything this loop started, in order, and wait until it is gone. Safe to repeat."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        for child in reversed(self._children):
            child.stop(_STOP_TIMEOUT_S[child.name])
        self._children = []
        self._open.close()

    def _child(self, name: str) -> Child:
        environment = {"WINNOW_HOME": str(self.home), "WINNOW_REDIS_URL": self._redis_url, **self._extra}
        command = [sys.executable, "-m", "winnow", "train", "--leave-with-parent"]
        if name == "service":
            environment["WINNOW_PORT"] = str(self._port)
            command[3:4] = ["serve", "--announce", str(self._announce)]
        return Child(name, command, environment, self.home / "logs" / f"{name}.log")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < deadline:
            self._look()
            for child in self._children:
                if child.deaths_in_a_row >= _DEATHS_THAT_MEAN_IT_CANNOT_START:
                    raise SetupError(f"the {child.name} cannot start; {child.log_file} ends with: {child.last_words()}")
            if self._service_is_ready():
                self._say()
                return
            time.sleep(_LOOK_S)
        raise SetupError(f"the service was not ready within {_READY_TIMEOUT_S:g} s; see {self.home / 'logs'}")

    def _service_is_ready(self) -> bool:
        try:
            self.url = orjson.loads(self._announce.read_bytes())["url"]
            answer = httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False)
            return answer.is_success and bool(answer.json()["log"])
        except (OSError, httpx.TransportError):
            return False

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            if self._look():
                self._say()

    def _look(self) -> bool:
        """Start again what died; return whether anything was."""
        changed = self._revive_log()
        for child in self._children:
            if (status := child.note_death()) is not None:
                log.warning("child_died", child=child.name, status=status, last_words=child.last_words())
            changed |= child.restart_if_due()
        return changed

    def _revive_log(self) -> bool:
        if self._embedded is None or self._embedded.is_alive():
            return False
        log.warning("child_died", child="log")
        self._log_restarts += 1
        try:
            self._embedded.start()
        except SetupError as error:  # looked at again soon: a full disk may get room
            log.error("log_not_started", reason=str(error))
            return False
        return True

    def _say(self) -> None:
        facts = {"url": self.url, "redis_url": self._redis_url, "pids": self.pids, "restarts": self.restarts}
        write_atomically(self.home / "up.json", orjson.dumps(facts))


@contextlib.contextmanager
def _only_supervisor(home: Path) -> Iterator[None]:
    with (home / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(
                f"`winnow up` runs in {home} already; see {home / 'up.json'}, or use another --home"
            ) from None
        try:
            yield
        finally:
            (home / "up.json").unlink(missing_ok=True)

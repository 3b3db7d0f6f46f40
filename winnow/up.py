"""Everything on one machine: the embedded log, the trainer and the service, started, kept alive and stopped in order.

    home/up.json    URLs (the console's too), pids and restarts of what runs; absent while nothing does
    home/up.lock    held by the supervisor: one a home
    home/logs/      what the children write

A child that dies is started again, at once the first time and then with growing pauses, on the address it had.
Stopping goes with the data: first the service, which finishes what it was sent; then the trainer, which checkpoints;
then the log. What was acknowledged is on disk all the while (P1).
"""

import contextlib
import fcntl
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
_STOP_TIMEOUT_S = {"service": 30.0, "trainer": 120.0}
_DEATHS_THAT_MEAN_IT_CANNOT_START = 3

log = structlog.get_logger()


class Loop:
    """The whole loop under one home. A context manager: runs between `start` and `stop`."""

    def __init__(
        self,
        home: Path,
        redis_url: str | None = None,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        whole: bool = True,
    ) -> None:
        """Describe a loop; nothing runs yet.

        `redis_url` names an event log; without it an embedded one is run. `port` 0 takes a free one and keeps it.
        `environment` adds settings of the children, such as {"WINNOW_BATCH_EVENTS": "64"}. Without `whole`, `start`
        does not wait for the trainer, which takes seconds to load; events wait for it in the log.
        """
        self.home = home.resolve()
        self.url = ""
        self.admin_url: str | None = None
        self.redis_url = redis_url or EmbeddedLog(self.home).url
        self._embedded = None if redis_url else EmbeddedLog(self.home)
        self._log_restarts = 0
        self._port = port
        self._extra = dict(environment or {})
        self._whole = whole
        self._announce = self.home / "service.json"
        self._children: list[Child] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def console_url(self) -> str:
        """The console that may change things, on this machine."""
        return f"{self.admin_url or self.url}/console"

    @property
    def pids(self) -> dict[str, int]:
        """The running processes, by name; the log's only if it is the loop's own."""
        pids = {child.name: child.pid for child in self._children}
        if self._embedded is not None:
            pids["log"] = self._embedded.pid
        return {name: pid for name, pid in pids.items() if pid is not None}

    @property
    def restarts(self) -> int:
        """How often something that died was started again."""
        return self._log_restarts + sum(child.restarts for child in self._children)

    def start(self, timeout_s: float = 90.0) -> None:
        """Start everything; return when scores are answered, feedback can be stored and the trainer is at work.

        Of a loop that is not `whole` the trainer may not be at work yet; `wait_for_trainer` says when it is.
        Raises SetupError if another supervisor runs in this home, or something cannot start.
        """
        if importlib.util.find_spec("torch") is None:
            raise SetupError("the trainer needs torch; pip install '.[train]'")
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        try:
            self._held.enter_context(_only_supervisor(self.home))
            if self._embedded is not None:
                self._held.enter_context(self._embedded)
            self._announce.unlink(missing_ok=True)
            self._children = [self._child(name) for name in ("trainer", "service")]
            for child in self._children:
                child.start()
            self._wait_until(self._is_ready, timeout_s)
            self._keep_addresses()
            self._watcher = threading.Thread(target=self._watch, name="supervisor")
            self._watcher.start()
        except BaseException:
            self.stop()
            raise

    def wait_for_trainer(self, timeout_s: float = 90.0) -> None:
        """Return when the trainer is at work. Raises SetupError if it cannot start, or is not in time."""
        self._wait_until(self._trainer_is_at_work, timeout_s)

    def stop(self) -> None:
        """Stop everything this loop started, in order, and wait until it is gone. Safe to repeat."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        for child in reversed(self._children):
            child.stop(_STOP_TIMEOUT_S[child.name])
        self._children = []
        self._held.close()

    def _child(self, name: str) -> Child:
        environment = {
            **self._extra,
            "WINNOW_HOME": str(self.home),
            "WINNOW_REDIS_URL": self.redis_url,
            "WINNOW_PORT": str(self._port),
        }
        if name == "service" and not os.environ.get("WINNOW_ADMIN_PORT"):
            environment = {"WINNOW_ADMIN_PORT": "0", **environment}  # the console's buttons need it
        task = ["train"] if name == "trainer" else ["serve", "--announce", str(self._announce)]
        command = [sys.executable, "-m", "winnow", *task, "--leave-with-parent"]
        return Child(name, command, environment, self.home / "logs" / f"{name}.log")

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self._watcher is None:
                self._look()
            for child in self._children:
                if child.deaths_in_a_row >= _DEATHS_THAT_MEAN_IT_CANNOT_START:
                    raise SetupError(f"the {child.name} cannot start; {child.log_file} ends with: {child.last_words()}")
            if time.monotonic() > deadline:
                raise SetupError(f"not everything was ready within {timeout_s:g} s; see {self.home / 'logs'}")
            time.sleep(_LOOK_S)

    def _is_ready(self) -> bool:
        return self._service_is_ready() and (not self._whole or self._trainer_is_at_work())

    def _keep_addresses(self) -> None:
        """Let the children have the same ports when they are started again."""
        for child in self._children:
            child.environment["WINNOW_PORT"] = str(httpx.URL(self.url).port)
            if self.admin_url is not None:
                child.environment["WINNOW_ADMIN_PORT"] = str(httpx.URL(self.admin_url).port)
        self._say()

    def _service_is_ready(self) -> bool:
        try:
            announced = orjson.loads(self._announce.read_bytes())
            self.url, self.admin_url = announced["url"], announced.get("admin_url")
            answer = httpx.get(f"{self.url}/readyz", timeout=2, trust_env=False)
            return answer.is_success and bool(answer.json()["log"])
        except (FileNotFoundError, httpx.TransportError):
            return False

    def _trainer_is_at_work(self) -> bool:
        """Whether the trainer holds this home's lock, which it takes once its settings and libraries have loaded."""
        with contextlib.suppress(FileNotFoundError):
            return (self.home / "trainer.lock").read_text() == str(self.pids.get("trainer"))
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
        try:
            self._embedded.start()
        except SetupError as error:  # looked at again soon: a full disk may get room
            log.warning("log_not_started", reason=str(error))
            return False
        self._log_restarts += 1
        return True

    def _say(self) -> None:
        urls = {"url": self.url, "admin_url": self.admin_url, "console_url": self.console_url}
        facts = {"redis_url": self.redis_url, "pid": os.getpid(), "pids": self.pids, "restarts": self.restarts}
        write_atomically(self.home / "up.json", orjson.dumps(urls | facts))


def interrupt_on_sigterm() -> None:
    """Make SIGTERM end this process as Ctrl-C does, through every `with`; a second signal does not disturb that."""

    def interrupt(_number: int, _frame: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)


def stay_up(loop: Loop) -> None:
    """Wait until SIGTERM or SIGINT; `interrupt_on_sigterm` comes first."""
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    log.info("stopping", pids=loop.pids)


@contextlib.contextmanager
def _only_supervisor(home: Path) -> Iterator[None]:
    with (home / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(f"`winnow up` works in {home} already; see up.json there, or use another --home") from None
        try:
            yield
        finally:
            (home / "up.json").unlink(missing_ok=True)

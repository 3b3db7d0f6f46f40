"""A process of ours that is there to be killed: started, stopped, killed and waited for by its pid, nothing else's."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.serving.processes import until
from contract.errors import SetupError

START_S = 90.0
STOP_S = 60.0


class Child:
    """One process that may be started many times; it ends with its owner's `close`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log_file: Path, cwd: Path | None = None):
        """Describe it; nothing runs yet. What it says goes to `log_file`, one start after another."""
        self.command = list(command)
        self.environment = dict(environment)
        self.log_file = log_file
        self.starts = 0
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        log_file.parent.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        """The running process. Raises SetupError if it was never started."""
        if self._process is None:
            raise SetupError(f"{self.command[0]} was not started")
        return self._process.pid

    def spawn(self) -> None:
        """Start it, without waiting for anything."""
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1

    def is_alive(self) -> bool:
        """Whether it runs, stopped or not."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Return its exit code, negative for a signal. Raises SetupError if it does not end in time."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise SetupError(f"{' '.join(self.command[:4])} did not end within {timeout_s:g} s") from None

    def kill(self) -> None:
        """Kill it with whatever it started, as a power cut would, and wait until it is gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Make sure that nothing is left."""
        if self.is_alive():
            self.signal(signal.SIGCONT)
            self.kill()

    def said(self, since: int = 0) -> str:
        """Return what it wrote after a place in its log."""
        with contextlib.suppress(FileNotFoundError), self.log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")
        return ""

    def log_size(self) -> int:
        """Return the place where its log ends now."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def await_ready(self, is_ready: Callable[[], bool], what: str, timeout_s: float = START_S) -> float:
        """Wait until it is ready and return the seconds. Raises SetupError with its last words if it ends before."""
        started = time.monotonic()

        def ready() -> bool:
            if is_ready():
                return True
            if not self.is_alive():
                raise SetupError(f"{what} ended; {self.log_file} ends with: {self.said().strip()[-300:]!r}")
            return False

        until(ready, timeout_s, what)
        return time.monotonic() - started

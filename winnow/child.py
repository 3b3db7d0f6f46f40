"""One supervised child process: its command, its log file, its death and how soon it may live again.

A child runs in a session of its own, so a Ctrl-C reaches it only through its supervisor, in the supervisor's order. Its
standard input is a pipe that closes when the supervisor dies, however it dies; `leave_with_parent` on the child's side
turns that into SIGTERM.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SETTLED_S = 60.0
_LONGEST_DELAY_S = 10.0


def restart_delay_s(deaths: int) -> float:
    """Return the pause before a child that died `deaths` times in a row is started again: none after the first."""
    return 0.0 if deaths <= 1 else min(_LONGEST_DELAY_S, 0.25 * 2.0 ** min(deaths - 2, 30))


class Child:
    """A child process. Not thread-safe: one supervisor owns it."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
        """Describe a child; nothing runs yet. `environment` is added to that of this process."""
        self.name = name
        self.restarts = 0
        self.deaths_in_a_row = 0
        self.log_file = log_file
        self._command = list(command)
        self.environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._died: float | None = None

    @property
    def pid(self) -> int | None:
        """The running process."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process; its output is appended to the log file."""
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started, self._died = time.monotonic(), None

    def note_death(self) -> int | None:
        """Return the exit status if the process has died since the last look, else None."""
        if self._process is None or self._process.poll() is None:
            return None
        status = self._process.returncode
        self._forget()
        self._died = time.monotonic()
        settled = self._died - self._started > _SETTLED_S
        self.deaths_in_a_row = 1 if settled else self.deaths_in_a_row + 1
        return status

    def restart_if_due(self) -> bool:
        """Start a dead process again once its pause is over; return whether it was."""
        if self._died is None or time.monotonic() - self._died < restart_delay_s(self.deaths_in_a_row):
            return False
        self.restarts += 1
        self.start()
        return True

    def stop(self, timeout_s: float) -> None:
        """Ask the process to end, wait for it, and kill it if it does not in time. It is not started again."""
        self._died = None
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()

    def last_words(self) -> str:
        """Return the last line of the log file that is not empty."""
        with contextlib.suppress(FileNotFoundError):
            lines = self.log_file.read_text(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


def leave_with_parent() -> None:
    """In a child: send SIGTERM to this process when its standard input closes, which the parent's death does."""

    def wait_and_leave() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock would be held while the interpreter shuts down
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait_and_leave, daemon=True, name="leave-with-parent").start()

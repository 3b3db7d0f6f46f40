"""A process of the service's own: started when first asked, asked in frames, bounded in time, ended with the service.

What it is asked, and what its death or silence means, is for who asks: `service.proving`, `service.console.reading`.
"""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from service.frames import LENGTH, frame

_ROOT = Path(__file__).parents[1]


class Died(Exception):
    """The process ended before it answered."""


class Late(Exception):
    """The process has not answered in time."""


class Closed(Exception):
    """The service is stopping: no process is started any more."""


def command_of(module: str) -> list[str]:
    """Return the command that runs a module of ours as such a process."""
    return [sys.executable, "-P", "-m", module]


class Apart:
    """The process. One thread asks; another may `close` it meanwhile."""

    def __init__(self, command: Sequence[str], started: Callable[[int], None]) -> None:
        """Describe the process. `started` is told its pid whenever one is started."""
        self._command = list(command)
        self._started = started
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._starting = threading.Lock()  # held while the process is started or ended
        self.has_answered = False  # the one that runs

    @property
    def pid(self) -> int | None:
        """The process, if one was started."""
        return self._process.pid if self._process else None

    @property
    def is_closed(self) -> bool:
        """Whether no process is started any more."""
        return self._closed

    def ask(self, question: bytes, deadline_s: float) -> bytes:
        """Return the answer. Raises Died, Late, Closed, and OSError if no process can be started."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        ends_s = time.monotonic() + deadline_s
        try:
            process.stdin.write(frame(question))
            process.stdin.flush()
        except BrokenPipeError:
            raise Died from None
        (length,) = LENGTH.unpack(_read(process.stdout.fileno(), LENGTH.size, ends_s))
        answer = _read(process.stdout.fileno(), length, ends_s)
        self.has_answered = True
        return answer

    def end(self) -> int:
        """End the process if there is one; return its exit status."""
        with self._starting:
            process, self._process, self.has_answered = self._process, None, False
            if process is None:
                return 0
            process.kill()  # no harm to one that has died: its status stays what it is
            with suppress(BrokenPipeError):
                process.communicate()
            return process.returncode

    def close(self) -> None:
        """Kill the process, whatever it is at, for good. Who asks sees it die; then `end` tidies up."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        with self._starting:
            if self._closed:
                raise Closed
            if self._process is None:
                self._process = self._start()
                self._started(self._process.pid)
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        search = filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(search), "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the service; and see `service.frames.stand_back`
        )


def _read(descriptor: int, length: int, ends_s: float) -> bytes:
    found = bytearray()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    while len(found) < length:
        if not waiting.poll(max(0.0, ends_s - time.monotonic()) * 1000):
            raise Late
        part = os.read(descriptor, length - len(found))
        if not part:
            raise Died
        found += part
    return bytes(found)

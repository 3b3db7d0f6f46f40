"""The service's end of the proving process: started when first needed, asked, bounded in time, started again (P4, P6).

A version that kills it twice is refused; one that it was kept from proving, by a deadline or by who else ends
processes, is left for later.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from contract.errors import ProofUnfinished, VersionCorrupt
from service.proven import Proven
from service.prover import LENGTH, Answer, Asked, frame

_DEADLINE_S = 60.0
_PATIENCE_S = 2.0
_PATIENT_BYTES_PER_S = 100 << 20
_LEAST_BYTES_PER_S = 5 << 20  # at the lowest priority, on a machine with little to spare
_BY_ITSELF = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP}
_TRIES = 2
_LONGEST_REST_S = 10.0
_ROOT = Path(__file__).parents[1]
_COMMAND = (sys.executable, "-P", "-m", "service.prover")
log = structlog.get_logger()


def rest_s(failures: int) -> float:
    """Return the pause after so many failures in a row, in which no process is started or asked."""
    return min(_LONGEST_REST_S, 0.25 * 2.0 ** min(failures - 1, 30))


class _Died(Exception):
    """The process ended before it answered."""


class _Late(Exception):
    """The process has not answered in time."""


class Prover:
    """One process that proves versions. One thread asks; another may `close` it meanwhile."""

    def __init__(
        self, deadline_s: float = _DEADLINE_S, patience_s: float = _PATIENCE_S, command: Sequence[str] = _COMMAND
    ) -> None:
        """Describe the process. It gets `deadline_s`, and more for large versions, before it is ended.

        One that stands back gets `patience_s` only: then a new one, which does not yet, is asked instead.
        """
        self._deadline_s = deadline_s
        self._patience_s = patience_s
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._stands_back = False
        self._closed = False
        self._failures = 0  # in a row
        self._rests_until_s = 0.0
        self._why = ""
        self._starting = threading.Lock()  # held while the process is started or ended
        self._asking = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process, if one was started."""
        return self._process.pid if self._process else None

    def prove(self, directory: Path) -> Proven:
        """Return the files of a version that is sound. Blocks: call it in a worker thread.

        Raises VersionCorrupt if it is not, or if it kills the process that opens it; ProofUnfinished if that could not
        be found out, and for a while after that.
        """
        with self._asking:
            if time.monotonic() < self._rests_until_s:
                raise ProofUnfinished(self._why)
            try:
                proven = self._try(directory)
            except ProofUnfinished as error:
                self._failures += 1
                self._why = str(error)
                self._rests_until_s = time.monotonic() + rest_s(self._failures)
                raise
            except VersionCorrupt:
                self._failures = 0
                raise
            self._failures = 0
            return proven

    def close(self) -> None:
        """End the process for good, whatever it is at."""
        with self._starting:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        with self._asking:  # who asks has seen it die, and nobody reads from it any more
            self._end()

    def _try(self, directory: Path) -> Proven:
        size = _bytes_of(directory)
        longest_s = self._deadline_s + size / _LEAST_BYTES_PER_S
        patient_s = min(longest_s, self._patience_s + size / _PATIENT_BYTES_PER_S)
        deaths = status = 0
        while deaths < _TRIES:
            stands_back = self._stands_back
            asked = Asked(directory=directory.absolute(), deadline_s=patient_s if stands_back else longest_s)
            try:
                return _proven(self._ask(asked))
            except _Late as error:
                self._end()
                if not stands_back:
                    raise ProofUnfinished("the proving process did not answer in time and was ended") from error
                continue  # a new one does not stand back before its first answer
            except (_Died, BrokenPipeError):
                deaths, status = deaths + 1, self._end()
            if self._closed:
                raise ProofUnfinished("the service is stopping")
            log.warning("prover_died", version=directory.name, status=status)
            if -status not in _BY_ITSELF:
                raise ProofUnfinished(f"version {directory.name}: the proving process ended with status {status}")
        name = signal.Signals(-status).name
        raise VersionCorrupt(f"version {directory.name}: it kills the process that opens it ({name}, {_TRIES} times)")

    def _ask(self, asked: Asked) -> Answer:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(frame(asked))
        process.stdin.flush()
        ends_s = time.monotonic() + asked.deadline_s
        (length,) = LENGTH.unpack(self._read(process.stdout.fileno(), LENGTH.size, ends_s))
        answer = Answer.model_validate_json(self._read(process.stdout.fileno(), length, ends_s))
        self._stands_back = True
        return answer

    def _read(self, descriptor: int, length: int, ends_s: float) -> bytes:
        found = b""
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        while len(found) < length:
            if not waiting.poll(max(0.0, ends_s - time.monotonic()) * 1000):
                raise _Late
            part = os.read(descriptor, length - len(found))
            if not part:
                raise _Died
            found += part
        return found

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        with self._starting:
            if self._closed:
                raise ProofUnfinished("the service is stopping")
            if self._process is None:
                try:
                    self._process = self._start()
                except OSError as error:
                    raise ProofUnfinished(
                        f"no proving process can be started ({error.strerror}); allow one more process and 50 MB, or "
                        "set WINNOW_PROVE_APART=false"
                    ) from error
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        search = filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(search), "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the service; and see `_stand_back` of the process
        )
        log.info("prover_started", pid=process.pid)
        return process

    def _end(self) -> int:
        """End the process if there is one; return its exit status."""
        with self._starting:
            process, self._process, self._stands_back = self._process, None, False
            if process is None:
                return 0
            process.kill()  # no harm to one that has died: its status stays what it is
            with suppress(BrokenPipeError):
                process.communicate()
            return process.returncode


def _proven(answer: Answer) -> Proven:
    if answer.corrupt is not None:
        raise VersionCorrupt(answer.corrupt)
    if answer.proven is None:
        raise ProofUnfinished(answer.unfinished or "no answer")
    return answer.proven


def _bytes_of(directory: Path) -> int:
    with os.scandir(directory) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

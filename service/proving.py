"""The service's end of the proving process: started when first needed, asked, bounded in time, started again (P4, P6).

A version that kills it twice is refused; one that it was kept from proving, by a deadline or by who else ends
processes, is left for later.
"""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from contract.errors import ProofUnfinished, VersionCorrupt
from service.apart import Apart, Closed, Died, Late, command_of
from service.proven import Proven
from service.prover import Answer, Asked

_DEADLINE_S = 60.0
_PATIENCE_S = 2.0
_PATIENT_BYTES_PER_S = 100 << 20
_LEAST_BYTES_PER_S = 5 << 20  # at the lowest priority, on a machine with little to spare
_BY_ITSELF = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP}
_TRIES = 2
_LONGEST_REST_S = 10.0
_COMMAND = command_of("service.prover")
log = structlog.get_logger()


def rest_s(failures: int) -> float:
    """Return the pause after so many failures in a row, in which no process is started or asked."""
    return min(_LONGEST_REST_S, 0.25 * 2.0 ** min(failures - 1, 30))


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
        self._apart = Apart(command, lambda pid: log.info("prover_started", pid=pid))
        self._failures = 0  # in a row
        self._rests_until_s = 0.0
        self._why = ""
        self._asking = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process, if one was started."""
        return self._apart.pid

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
        self._apart.close()
        with self._asking:  # who asks has seen it die, and nobody reads from it any more
            self._apart.end()

    def _try(self, directory: Path) -> Proven:
        size = _bytes_of(directory)
        longest_s = self._deadline_s + size / _LEAST_BYTES_PER_S
        patient_s = min(longest_s, self._patience_s + size / _PATIENT_BYTES_PER_S)
        deaths = status = 0
        while deaths < _TRIES:
            stands_back = self._apart.has_answered
            asked = Asked(directory=directory.absolute(), deadline_s=patient_s if stands_back else longest_s)
            try:
                return _proven(self._ask(asked))
            except Late as error:
                self._apart.end()
                if not stands_back:
                    raise ProofUnfinished("the proving process did not answer in time and was ended") from error
                continue  # a new one does not stand back before its first answer
            except Died:
                deaths, status = deaths + 1, self._apart.end()
            if self._apart.is_closed:
                raise ProofUnfinished("the service is stopping")
            log.warning("prover_died", version=directory.name, status=status)
            if -status not in _BY_ITSELF:
                raise ProofUnfinished(f"version {directory.name}: the proving process ended with status {status}")
        name = signal.Signals(-status).name
        raise VersionCorrupt(f"version {directory.name}: it kills the process that opens it ({name}, {_TRIES} times)")

    def _ask(self, asked: Asked) -> Answer:
        try:
            return Answer.model_validate_json(self._apart.ask(asked.model_dump_json().encode(), asked.deadline_s))
        except Closed:
            raise ProofUnfinished("the service is stopping") from None
        except OSError as error:
            raise ProofUnfinished(
                f"no proving process can be started ({error.strerror}); allow one more process and 50 MB, or "
                "set WINNOW_PROVE_APART=false"
            ) from error


def _proven(answer: Answer) -> Proven:
    if answer.corrupt is not None:
        raise VersionCorrupt(answer.corrupt)
    if answer.proven is None:
        raise ProofUnfinished(answer.unfinished or "no answer")
    return answer.proven


def _bytes_of(directory: Path) -> int:
    with os.scandir(directory) as entries:
        return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

"""The service's end of the reader: a process that reads the label log and opens versions, behind all requests.

It is started at the first question, answers one after another, is killed when one takes too long, started again at the
next, and ended when nobody has asked for some minutes. One that stands back and is late after half the time is replaced
by a new one, which does not yet. The event loop only waits.
"""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import structlog
from starlette.exceptions import HTTPException

from service.apart import Apart, Closed, Died, Late, command_of
from service.console.reader import STATUS

_DEADLINE_S = 20.0
_IDLE_S = 300.0
_MOST_WAITING = 8
log = structlog.get_logger()


class Reader:
    """One such process. To be used in one event loop."""

    def __init__(
        self,
        home: Path,
        deadline_s: float = _DEADLINE_S,
        idle_s: float = _IDLE_S,
        most_waiting: int = _MOST_WAITING,
        command: Sequence[str] | None = None,
    ) -> None:
        """Describe the process; it reads under `home`, and a question may take `deadline_s`, waiting included."""
        self._deadline_s = deadline_s
        self._idle_s = idle_s
        self._most_waiting = most_waiting
        self._apart = Apart(
            command or [*command_of("service.console.reader"), str(home)],
            lambda pid: log.info("reader_started", pid=pid),
        )
        self._asker = ThreadPoolExecutor(1, "reader")  # questions wait here for their turn
        self._waiting = 0
        self._rest: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._apart.pid

    async def ask(self, about: str, asked: Mapping[str, Any]) -> bytes:
        """Return the answer to a question of `service.console.questions`, as JSON.

        Raises HTTPException: what the reader says is wrong with it; 503 if too many wait, it takes too long, or the
        process dies of it.
        """
        if self._waiting >= self._most_waiting:
            raise _busy(f"{self._waiting} questions wait for their turn, the bound; retry shortly")
        self._waiting += 1
        if self._rest is not None:
            self._rest.cancel()
        loop = asyncio.get_running_loop()
        question = orjson.dumps({"about": about, "asked": asked, "deadline_s": self._deadline_s})
        try:
            ends_s = time.monotonic() + self._deadline_s
            answer = await loop.run_in_executor(self._asker, self._ask, question, ends_s)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._rest = loop.call_later(self._idle_s, self._end_idle)
        (status,) = STATUS.unpack_from(answer)
        if status != 200:
            raise HTTPException(status, answer[STATUS.size :].decode())
        return answer[STATUS.size :]

    async def find(self, about: str, asked: Mapping[str, Any]) -> Any:
        """Return the answer as a value; for answers that are small."""
        return orjson.loads(await self.ask(about, asked))

    def close(self) -> None:
        """End the process for good, whatever it is at."""
        if self._rest is not None:
            self._rest.cancel()
        self._apart.close()
        self._asker.shutdown()
        self._apart.end()

    def _end_idle(self) -> None:
        self._asker.submit(self._apart.end)

    def _ask(self, question: bytes, ends_s: float) -> bytes:
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            raise _busy(f"other questions took more than {self._deadline_s:g} s; retry")
        stands_back = self._apart.has_answered
        try:
            return self._apart.ask(question, left_s / 2 if stands_back else left_s)
        except Late:
            self._apart.end()
            if stands_back:
                return self._ask(question, ends_s)
            raise _busy(f"this took more than {self._deadline_s:g} s and was ended; ask for fewer hours") from None
        except Died:
            status = self._apart.end()
        except Closed:
            raise _busy("the service is stopping") from None
        except OSError as error:
            raise _busy(f"no process that reads can be started ({error.strerror}); allow one more") from error
        if self._apart.is_closed:
            raise _busy("the service is stopping")
        log.warning("reader_died", status=status)
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        raise _busy(f"the process that reads ended while it was at this question ({name}); ask again, or for less")


def _busy(why: str) -> HTTPException:
    return HTTPException(503, why, {"retry-after": "2"})

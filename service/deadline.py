"""One deadline for many waits that may all take equally long."""

import asyncio
from types import TracebackType


class Deadline:
    """`with deadline:` raises TimeoutError once the block has waited `seconds`, as `asyncio.timeout` does.

    Who began first is due first, so a single timer watches all blocks: entering one is a dict entry, where a timer
    of its own costs 4 us. A block belongs to the task that enters it; a task is in one block at a time.
    """

    def __init__(self, seconds: float) -> None:
        """Let every block wait `seconds`."""
        self._seconds = seconds
        self._since: dict[asyncio.Task[object], float] = {}  # oldest first
        self._overdue: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        """Begin to wait."""
        loop = asyncio.get_running_loop()
        self._since[_this_task()] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End the wait. Raises TimeoutError if it took too long."""
        task = _this_task()
        if task not in self._overdue:
            del self._since[task]
            return
        self._overdue.remove(task)
        if task.uncancel() <= 0 and kind is asyncio.CancelledError:  # cancelled by nobody else
            raise TimeoutError(f"waited {self._seconds:g} s") from error

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel whoever is overdue; look again when the next one may be."""
        self._timer = None
        while self._since:
            task, since = next(iter(self._since.items()))
            left_s = since + self._seconds - loop.time()
            if left_s > 0:
                self._timer = loop.call_later(left_s, self._look, loop)
                return
            del self._since[task]
            self._overdue.add(task)
            task.cancel()


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None  # every request is a task of the server
    return task

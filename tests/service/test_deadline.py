"""A shared deadline ends waits exactly when a timeout of their own would."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.deadline import Deadline

SECONDS = 10
waits = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20).filter(lambda wait: wait != SECONDS)), max_size=12)
Timeout = Callable[[], AbstractAsyncContextManager[object]]


class StandingClock(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while there is work, and else leaps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        timers: list[asyncio.TimerHandle] = [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        if timers and not self._ready:  # type: ignore[attr-defined]
            self._now = max(self._now, min(timer.when() for timer in timers))
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, list[tuple[str, float]]]) -> list[tuple[str, float]]:
    with asyncio.Runner(loop_factory=StandingClock) as runner:
        return runner.run(main)


async def ends(make: Timeout, waits: list[tuple[int, int]]) -> list[tuple[str, float]]:
    """Return how and when each wait of (start, seconds) ends."""
    loop = asyncio.get_running_loop()

    async def end(start: int, seconds: int) -> tuple[str, float]:
        await asyncio.sleep(start)
        try:
            async with make():
                await asyncio.sleep(seconds)
        except TimeoutError:
            return "timed out", loop.time()
        return "done", loop.time()

    return list(await asyncio.gather(*(end(*wait) for wait in waits)))


@given(waits)
def test_every_wait_ends_as_with_a_timeout_of_its_own(waits: list[tuple[int, int]]) -> None:
    deadline = Deadline(SECONDS)

    @asynccontextmanager
    async def shared():  # type: ignore[no-untyped-def]
        with deadline:
            yield

    found = run(ends(shared, waits))
    assert found == run(ends(lambda: asyncio.timeout(SECONDS), waits))
    assert found == [("done" if wait < SECONDS else "timed out", start + min(wait, SECONDS)) for start, wait in waits]


def test_a_wait_that_someone_else_cancels_is_cancelled() -> None:
    async def cancelled() -> list[tuple[str, float]]:
        deadline, begun = Deadline(SECONDS), asyncio.Event()

        async def wait() -> None:
            with deadline:
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [("cancelled", asyncio.get_running_loop().time())]

    assert run(cancelled()) == [("cancelled", 0)]


def test_a_wait_that_is_overdue_and_cancelled_is_cancelled() -> None:
    async def both() -> list[tuple[str, float]]:
        deadline, loop = Deadline(SECONDS), asyncio.get_running_loop()

        async def wait() -> None:
            with deadline:
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        loop.call_at(SECONDS, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        return [("cancelled", loop.time())]

    assert run(both()) == [("cancelled", SECONDS)]

"""The process that reads: asked in turn, bounded in time, and replaced when it comes to harm."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from starlette.exceptions import HTTPException

from service.console.reading import Reader
from tests.service.conftest import until
from tests.service.test_proving import is_gone

# A real reader that comes to harm while it is asked.
HARMED = "import sys, os, time, signal; sys.stdin.buffer.read(4); {harm}"


def harmed(harm: str) -> list[str]:
    return [sys.executable, "-c", HARMED.format(harm=harm)]


def harmed_once(mark: Path, harm: str, home: Path) -> list[str]:
    first = HARMED.format(harm=f"open({str(mark)!r}, 'x').close(); {harm}")
    code = f"from pathlib import Path; from service.console.reader import main; main(Path({str(home)!r}))"
    return [sys.executable, "-c", f"import os\nif os.path.exists({str(mark)!r}):\n    {code}\nelse:\n    {first}"]


def with_reader(reader: Reader, use: Callable[[Reader], Awaitable[None]]) -> None:
    async def run() -> None:
        with closing(reader):
            await use(reader)

    asyncio.run(run())


async def refused(reader: Reader) -> HTTPException:
    with pytest.raises(HTTPException) as raised:
        await reader.ask("models", {})
    return raised.value


def test_a_reader_that_dies_of_a_question_fails_that_one_and_is_replaced(home: Path, tmp_path: Path) -> None:
    async def use(reader: Reader) -> None:
        problem = await refused(reader)
        assert (problem.status_code, problem.headers) == (503, {"retry-after": "2"})
        assert "ended while it was at this question (SIGSEGV)" in problem.detail
        assert (await reader.find("models", {}))["champion"] is None

    crash = harmed_once(tmp_path / "mark", "os.kill(os.getpid(), signal.SIGSEGV)", home)
    with_reader(Reader(home, command=crash), use)


def test_a_reader_killed_from_outside_in_the_middle_of_a_question_costs_only_that(home: Path, tmp_path: Path) -> None:
    async def use(reader: Reader) -> None:
        asking = asyncio.create_task(refused(reader))
        await asyncio.to_thread(until, (tmp_path / "mark").exists)
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGKILL)
        assert "SIGKILL" in (await asking).detail
        assert (await reader.find("models", {}))["versions"] == []

    with_reader(Reader(home, command=harmed_once(tmp_path / "mark", "time.sleep(600)", home)), use)


def test_a_question_that_takes_too_long_is_ended(home: Path) -> None:
    async def use(reader: Reader) -> None:
        assert "took more than 0.3 s and was ended" in (await refused(reader)).detail
        assert reader.pid is None

    with_reader(Reader(home, 0.3, command=harmed("time.sleep(600)")), use)


def test_a_reader_that_gets_no_processor_is_replaced_within_the_deadline(home: Path) -> None:
    async def use(reader: Reader) -> None:
        await reader.ask("models", {})
        starved = reader.pid
        assert starved is not None
        until(lambda: psutil.Process(starved).nice() == 10)
        os.kill(starved, signal.SIGSTOP)
        assert (await reader.find("models", {}))["champion"] is None
        assert reader.pid not in (None, starved)

    with_reader(Reader(home, 20), use)


def test_only_so_many_questions_wait(home: Path) -> None:
    async def use(reader: Reader) -> None:
        asking = [asyncio.create_task(refused(reader)) for _ in range(3)]
        await asyncio.sleep(0)
        assert "2 questions wait for their turn" in (await asking[2]).detail
        await asyncio.gather(*asking)

    with_reader(Reader(home, 0.3, most_waiting=2, command=harmed("time.sleep(600)")), use)


def test_a_reader_that_nobody_asks_is_ended(home: Path) -> None:
    async def use(reader: Reader) -> None:
        await reader.ask("models", {})
        pid = reader.pid
        assert pid is not None
        await asyncio.to_thread(until, lambda: is_gone(pid))

    with_reader(Reader(home, idle_s=0.05), use)


def test_closing_ends_a_question_that_is_under_way(home: Path) -> None:
    async def use(reader: Reader) -> None:
        asking = asyncio.create_task(refused(reader))
        await asyncio.to_thread(until, lambda: reader.pid is not None)
        await asyncio.to_thread(reader.close)
        assert (await asking).detail == "the service is stopping"

    with_reader(Reader(home, command=harmed("time.sleep(600)")), use)


def test_an_unknown_question_is_a_fault_that_says_nothing(home: Path) -> None:
    async def use(reader: Reader) -> None:
        with pytest.raises(HTTPException) as raised:
            await reader.ask("secrets", {})
        assert (raised.value.status_code, raised.value.detail) == (
            500,
            "this is a fault of the service; its log has more",
        )

    with_reader(Reader(home), use)

"""The log as the service uses it: confirmed, bounded, and honest when there is no confirmation."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from contract.async_event_log import AsyncEventLog
from contract.errors import LogFull, LogUnavailable
from contract.event_log import EventLog
from contract.log_claim import LogClaim
from winnow.embedded_log import EmbeddedLog


@pytest.fixture
def reader(log_url: str) -> Iterator[EventLog]:
    reader = EventLog(log_url)
    yield reader
    reader.close()


def with_log(
    url: str, use: Callable[[AsyncEventLog], Awaitable[None]], timeout_s: float = 5.0, max_entries: int = 100
) -> None:
    async def run() -> None:
        log = AsyncEventLog(url, timeout_s, max_entries)
        try:
            await use(log)
        finally:
            await log.close()

    asyncio.run(run())


def blocks_in(reader: EventLog) -> list[bytes]:
    return sorted(entry.block for entry in reader.read_after({}, 1_000).entries)


def test_what_was_appended_is_there_when_the_append_returns(log_url: str, reader: EventLog) -> None:
    async def use(log: AsyncEventLog) -> None:
        await log.append({0: (2, b"a"), 15: (1, b"b")})
        assert [(e.partition, e.events, e.block) for e in reader.read_after({}, 9).entries] == [
            (0, 2, b"a"),
            (15, 1, b"b"),
        ]
        await log.append({})

    with_log(log_url, use)


def test_appends_at_once_are_all_kept(log_url: str, reader: EventLog) -> None:
    async def use(log: AsyncEventLog) -> None:
        await asyncio.gather(*(log.append({n % 16: (1, b"%03d" % n)}) for n in range(60)))

    with_log(log_url, use)
    assert blocks_in(reader) == [b"%03d" % n for n in range(60)]


def test_a_full_partition_takes_nothing_until_it_is_trimmed(log_url: str, reader: EventLog) -> None:
    async def use(log: AsyncEventLog) -> None:
        for _ in range(3):
            await log.append({7: (1, b"old")})
        with pytest.raises(LogFull, match=r"holds 3 entries, the bound is 3.*WINNOW_LOG_MAX_ENTRIES"):
            await log.append({6: (1, b"with a full neighbour"), 7: (1, b"too much")})
        await log.append({6: (1, b"elsewhere")})
        LogClaim(reader).cover(reader.last(), reader.last())
        await log.append({7: (1, b"new")})

    with_log(log_url, use, max_entries=3)
    assert blocks_in(reader) == [b"elsewhere", b"new", b"old"]  # the last one read stays, for reads to begin at


def test_the_length_is_rarely_asked_for_and_yet_several_never_overfill_a_partition(
    log_url: str, reader: EventLog
) -> None:
    async def use(first: AsyncEventLog) -> None:
        logs = [first, *(AsyncEventLog(log_url, 5.0, 200) for _ in range(3))]
        refused = [0] * len(logs)
        for n in range(100):
            for number, log in enumerate(logs):
                try:
                    await log.append({3: (1, b"%d" % n)})
                except LogFull:
                    refused[number] += 1
        for log in logs[1:]:
            await log.close()
        assert sum(refused) == 200

    before = asked(reader)
    with_log(log_url, use, max_entries=200)
    assert len(blocks_in(reader)) == 200
    assert asked(reader) - before < 200 + 100  # each refusal asks; 200 appends ask far less than once each


def asked(reader: EventLog) -> int:
    calls: dict[str, dict[str, int]] = reader.client.info("commandstats")
    return calls.get("cmdstat_xlen", {"calls": 0})["calls"]


def test_a_server_that_is_away_is_told_at_once(tmp_path: Path) -> None:
    async def use(log: AsyncEventLog) -> None:
        with pytest.raises(LogUnavailable, match="retry with the same event ids"):
            await log.append({0: (1, b"a")})

    with_log(f"unix://{tmp_path}/nobody.sock", use)


def test_a_server_that_dribbles_costs_the_timeout_and_is_hung_up_on(tmp_path: Path) -> None:
    """Every byte comes in time, the reply never does."""
    path, hung_up = tmp_path / "s", asyncio.Event()

    async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"+")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        hung_up.set()

    async def use(log: AsyncEventLog) -> None:
        async with await asyncio.start_unix_server(dribble, path), asyncio.timeout(2):
            with pytest.raises(LogUnavailable):
                await log.append({0: (1, b"a")})
            await hung_up.wait()

    with_log(f"unix://{path}", use, timeout_s=0.2)


def test_a_stopped_server_costs_the_timeout_and_the_next_append_is_whole(
    private_log: EmbeddedLog, log_url: str, reader: EventLog
) -> None:
    """A timed-out append may still happen; the replies of the old one must not be taken for the new one's."""
    assert private_log.pid is not None
    server = private_log.pid

    async def use(log: AsyncEventLog) -> None:
        await log.append({0: (1, b"before")})
        os.kill(server, signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(LogUnavailable):
                await log.append({0: (1, b"in between")})
        finally:
            os.kill(server, signal.SIGCONT)
        assert time.monotonic() - began < 1.0
        await log.append({1: (1, b"after")})

    with_log(log_url, use, timeout_s=0.3)
    assert {b"before", b"after"} <= set(blocks_in(reader)) <= {b"before", b"in between", b"after"}

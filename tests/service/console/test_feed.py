"""The feed by itself: what readers are told, when they are let go, what a tick holds."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from contract.event_log import EventLog
from contract.journal import KEPT, TIMEOUT_S, Journal
from contract.registry import Registry
from service.console.feed import MOST_STREAMS, MOST_WAITING, Feed
from service.console.tick import Pulse, quantile_of
from service.health import LogWatch
from service.metrics import Metrics
from service.prior import PriorModel
from service.slot import Slot
from tests.contract.journal_entries import direction, progress, version
from tests.versions import promote_version
from winnow.embedded_log import EmbeddedLog

Events = list[tuple[str, Any]]


@contextmanager
def a_feed(home: Path, url: str | None = None) -> Iterator[tuple[Feed, Metrics, Slot, Journal | None]]:
    metrics = Metrics()
    slot = Slot(Registry(home / "registry"), PriorModel(0.02), metrics)
    journal = Journal(EventLog(url, TIMEOUT_S)) if url else None
    yield Feed(Pulse(metrics, slot, LogWatch(None, 0.1, metrics)), journal), metrics, slot, journal
    if journal is not None:
        journal.close()


def events_in(pieces: bytes) -> Events:
    blocks = [block for block in pieces.decode().split("\n\n") if block and not block.startswith(":")]
    parts = [block.split("\n") for block in blocks]
    return [(kind.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))) for kind, data in parts]


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_a_reader_begins_with_what_there_was_and_then_gets_what_is_new(home: Path, log_url: str) -> None:
    with a_feed(home, log_url) as (feed, _, _, journal):
        assert journal is not None
        feed.tick()
        journal.write([progress(1, at_ms=_now()), version()])

        async def scene() -> None:
            stream = await feed.open()
            ((kind, hello),) = events_in(await stream.take())
            assert kind == "hello"
            assert [told["trained"] for told in hello["progress"]] == [1]
            assert hello["versions"] == []  # of 1970: not of the last quarter of an hour
            assert len(hello["ticks"]) == 1
            feed.tick()
            journal.write([progress(2), direction()])
            await feed._look()
            told = events_in(await stream.take())
            assert [kind for kind, _ in told] == ["tick", "progress", "direction"]
            await feed._look()
            assert not stream._waiting
            feed.close(stream)

        play(scene)


def _now() -> int:
    return time.time_ns() // 1_000_000


def test_the_journal_is_read_anew_for_who_comes_after_the_last_has_gone(home: Path, log_url: str) -> None:
    with a_feed(home, log_url) as (feed, _, _, journal):
        assert journal is not None

        async def scene() -> None:
            for count in (1, 2):
                feed.close(await feed.open())
                assert not feed._kept["progress"]
                journal.write([progress(count, at_ms=_now())])
            stream = await feed.open()
            ((_, hello),) = events_in(await stream.take())
            assert [told["trained"] for told in hello["progress"]] == [1, 2]

        play(scene)


def test_a_reader_who_came_while_the_log_was_away_is_greeted_anew(home: Path, tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    with a_feed(home, log.url) as (feed, _, _, journal):
        assert journal is not None

        async def scene() -> None:
            stream = await feed.open()
            ((_, hello),) = events_in(await stream.take())
            assert hello["progress"] == []
            feed.tick()
            log.start()
            journal.write([progress(3, at_ms=_now())])
            await feed._look()
            ((kind, hello),) = events_in(await stream.take())
            assert (kind, len(hello["ticks"])) == ("hello", 1)
            assert [told["trained"] for told in hello["progress"]] == [3]

        try:
            play(scene)
        finally:
            log.stop()


def test_a_reader_that_takes_nothing_is_let_go_and_holds_no_memory(home: Path) -> None:
    with a_feed(home) as (feed, _, _, _):

        async def scene() -> None:
            slow, quick = await feed.open(), await feed.open()
            for _ in range(MOST_WAITING + 10):
                feed.tick()
                await quick.take()
                assert len(slow._waiting) <= MOST_WAITING
            assert slow.over.is_set()
            assert not slow._waiting
            assert not quick.over.is_set()

        play(scene)


def test_ticks_are_bounded_and_taken_while_nobody_looks(home: Path) -> None:
    with a_feed(home) as (feed, _, _, _):
        for _ in range(KEPT + 50):
            feed.tick()

        async def scene() -> None:
            ((_, hello),) = events_in(await (await feed.open()).take())
            assert len(hello["ticks"]) == KEPT

        play(scene)


def test_there_is_a_most_of_readers_and_none_after_the_end(home: Path) -> None:
    with a_feed(home) as (feed, _, _, _):

        async def scene() -> None:
            streams = [await feed.open() for _ in range(MOST_STREAMS)]
            with pytest.raises(HTTPException, match="32 readers"):
                await feed.open()
            feed.close(streams[0])
            await feed.open()
            feed.end()
            assert await streams[1].take() == b""
            assert all(stream.over.is_set() for stream in streams)
            feed.close(streams[1])
            with pytest.raises(HTTPException, match="about to stop"):
                await feed.open()

        play(scene)


def test_a_tick_says_what_is_counted_and_which_version_answers(home: Path) -> None:
    with a_feed(home) as (feed, metrics, slot, _):
        pulse = feed._pulse
        first = pulse.take()
        assert (first.version, first.fallback, first.age_s, first.p50_ms) == ("prior", True, None, None)
        metrics.acknowledged.inc(7)
        metrics.candidates.inc(20)
        for _ in range(100):
            metrics.answered("/v1/score", 200, 0.0015)
        metrics.answered("/v1/feedback", 202, 0.2)
        number, _ = promote_version(Registry(home / "registry"))
        asyncio.run(slot.poll())
        tick = pulse.take()
        assert (tick.acknowledged, tick.scored, tick.requests) == (7, 20, 101)
        assert (tick.version, tick.fallback) == (number, False)
        assert tick.p50_ms == pytest.approx(1.5)
        assert tick.p99_ms == pytest.approx(1.99)
        assert tick.lag_entries is None
        metrics.answered("/v1/score", 200, 0.7)
        later = pulse.take()  # of the second since then alone
        assert later.p50_ms == pytest.approx(750)
        assert pulse.take().p99_ms is None


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.floats(0.01, 0.99))
def test_the_share_lies_below_a_quantile(counts: list[int], share: float) -> None:
    bounds = [1.0, 2.0, 4.0]
    found = quantile_of(bounds, counts, share)
    if found is None:
        assert not sum(counts)
        return
    wholly_below = sum(count for count, high in zip(counts, bounds, strict=False) if high <= found)
    begun_below = sum(count for count, low in zip(counts, [0.0, *bounds], strict=True) if low <= found)
    assert wholly_below <= share * sum(counts) + 1e-9
    assert begun_below >= share * sum(counts)

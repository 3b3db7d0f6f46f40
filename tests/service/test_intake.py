"""Group commit: one transaction for those who come at once, and each request as safe as if it came alone (P1)."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from contract.async_event_log import AsyncEventLog
from contract.blocks import decode_block
from contract.errors import LogFull, LogUnavailable
from contract.event_log import EventLog
from contract.events import Action, EventLists, Events, FeedbackEvent
from service.intake import MAX_GROUP_EVENTS, MAX_WAITING_BYTES, Intake
from winnow.embedded_log import EmbeddedLog


def some(name: str, user: str = "u1", count: int = 1, actions: list[Action] | None = None) -> EventLists:
    return EventLists.of_models(
        [
            FeedbackEvent(event_id=f"{name}-{n}", user_id=user, item_id="v1", at=1, watch_ms=1, actions=actions or [])
            for n in range(count)
        ]
    )


def in_loop(
    url: str,
    use: Callable[[Intake], Awaitable[None]],
    timeout_s: float = 5.0,
    max_entries: int = 1_000,
    on_said: Callable[[Events], None] = lambda _: None,
) -> None:
    async def run() -> None:
        log = AsyncEventLog(url, timeout_s, max_entries)
        try:
            intake = Intake(log, timeout_s, on_said)
            await use(intake)
            await intake.close()
        finally:
            await log.close()

    asyncio.run(run())


def stored(log_url: str) -> list[list[str]]:
    """Return the event ids of each entry."""
    log = EventLog(log_url)
    try:
        return [decode_block(entry.block).event_id.tolist() for entry in log.read_after({}, 1_000).entries]
    finally:
        log.close()


@contextmanager
def stopped(log: EmbeddedLog) -> Iterator[None]:
    assert log.pid is not None
    os.kill(log.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(log.pid, signal.SIGCONT)


async def settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_requests_that_come_at_once_share_an_entry_and_keep_their_order(log_url: str) -> None:
    async def use(intake: Intake) -> None:
        await asyncio.gather(*(intake.store(some(f"e{n}", count=2), 100) for n in range(40)))

    in_loop(log_url, use)
    assert stored(log_url) == [[f"e{n}-{m}" for n in range(40) for m in range(2)]]


def test_what_gathers_during_an_append_is_the_next_group(private_log: EmbeddedLog, log_url: str) -> None:
    async def use(intake: Intake) -> None:
        with stopped(private_log):
            first = asyncio.create_task(intake.store(some("first"), 1))
            await settled()
            others = [asyncio.create_task(intake.store(some(f"n{n}"), 1)) for n in range(3)]
            await settled()
            assert not any(task.done() for task in (first, *others))  # nobody before the server confirms
        await asyncio.gather(first, *others)

    in_loop(log_url, use)
    assert stored(log_url) == [["first-0"], ["n0-0", "n1-0", "n2-0"]]


def test_a_group_is_bounded_and_a_request_stays_whole(log_url: str) -> None:
    size = MAX_GROUP_EVENTS // 2 + 1

    async def use(intake: Intake) -> None:
        await asyncio.gather(*(intake.store(some(name, count=size), 1) for name in "abc"))

    in_loop(log_url, use)
    assert [len(entry) for entry in stored(log_url)] == [size] * 3


def test_a_failed_append_fails_the_requests_in_it_and_no_others(log_url: str) -> None:
    async def use(intake: Intake) -> None:
        for n in range(3):
            await intake.store(some(f"u1-{n}"), 1)
        together = await asyncio.gather(
            intake.store(some("full"), 1), intake.store(some("beside", "u2"), 1), return_exceptions=True
        )
        assert [type(outcome) for outcome in together] == [LogFull, LogFull]
        assert together[0] is not together[1]
        await intake.store(some("alone", "u2"), 1)

    in_loop(log_url, use, max_entries=3)
    assert sorted(stored(log_url)) == [["alone-0"], ["u1-0-0"], ["u1-1-0"], ["u1-2-0"]]


def test_a_client_that_goes_away_disturbs_nobody(private_log: EmbeddedLog, log_url: str) -> None:
    async def use(intake: Intake) -> None:
        with stopped(private_log):
            tasks = [asyncio.create_task(intake.store(some(f"n{n}"), 1)) for n in range(4)]
            await settled()  # in flight together
            later = [asyncio.create_task(intake.store(some(f"m{n}"), 1)) for n in range(2)]
            await settled()
            tasks[1].cancel()
            later[0].cancel()
            await settled()
        outcomes = await asyncio.gather(*tasks, *later, return_exceptions=True)
        gone = [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes]
        assert gone == [False, True, False, False, True, False]
        assert [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)] == [None] * 4

    in_loop(log_url, use)
    assert {"n0-0", "n2-0", "n3-0", "m1-0"} <= {one for entry in stored(log_url) for one in entry}


def test_a_group_that_everybody_left_is_not_stored(private_log: EmbeddedLog, log_url: str) -> None:
    async def use(intake: Intake) -> None:
        with stopped(private_log):
            first = asyncio.create_task(intake.store(some("first"), 1))
            await settled()
            left = [asyncio.create_task(intake.store(some(f"left{n}"), 1)) for n in range(2)]
            await settled()
            for task in left:
                task.cancel()
            await settled()
        await first
        await intake.store(some("after"), 1)

    in_loop(log_url, use)
    assert stored(log_url) == [["first-0"], ["after-0"]]


def test_requests_that_queue_at_a_hanging_log_wait_no_longer_than_one(private_log: EmbeddedLog, log_url: str) -> None:
    async def use(intake: Intake) -> None:
        loop = asyncio.get_running_loop()
        with stopped(private_log):
            began = loop.time()
            first = asyncio.create_task(intake.store(some("in-flight"), 1))
            await settled()
            outcomes = await asyncio.gather(first, intake.store(some("behind"), 1), return_exceptions=True)
            assert loop.time() - began < 1.5  # twice the deadline if they waited one after the other
        assert [type(outcome) for outcome in outcomes] == [LogUnavailable, LogUnavailable]
        await intake.store(some("after"), 1)

    in_loop(log_url, use, timeout_s=0.8)
    assert ["after-0"] in stored(log_url)


def test_what_may_wait_is_bounded(private_log: EmbeddedLog, log_url: str) -> None:
    async def use(intake: Intake) -> None:
        with stopped(private_log):
            waiting = [asyncio.create_task(intake.store(some("in-flight"), MAX_WAITING_BYTES))]
            await settled()
            waiting.append(asyncio.create_task(intake.store(some("waits"), MAX_WAITING_BYTES)))
            await settled()
            with pytest.raises(LogUnavailable, match=f"the bound is {MAX_WAITING_BYTES}; retry"):
                await intake.store(some("too much"), 1)
        await asyncio.gather(*waiting)
        await intake.store(some("after"), 1)

    in_loop(log_url, use)
    assert sorted(stored(log_url)) == [["after-0"], ["in-flight-0"], ["waits-0"]]


def test_closing_waits_for_what_waits(private_log: EmbeddedLog, log_url: str) -> None:
    async def use(intake: Intake) -> None:
        with stopped(private_log):
            task = asyncio.create_task(intake.store(some("last"), 1))
            await settled()
            closing = asyncio.create_task(intake.close())
            await settled()
            assert not closing.done()
        await closing
        assert stored(log_url) == [["last-0"]]
        await task

    in_loop(log_url, use)


def test_what_was_said_is_told_once_it_is_stored_and_before_the_answer(log_url: str) -> None:
    told: list[tuple[list[str], int]] = []

    async def use(intake: Intake) -> None:
        like = some("like", actions=[Action.LIKE])
        await asyncio.gather(intake.store(some("watch"), 1), intake.store(like, 1))
        assert told == [(["like-0"], 1)]

    in_loop(log_url, use, on_said=lambda events: told.append((events.event_id.tolist(), len(stored(log_url)))))


def test_without_a_log_nothing_is_taken() -> None:
    async def use() -> None:
        with pytest.raises(LogUnavailable, match="set WINNOW_REDIS_URL"):
            await Intake(None, 1.0, lambda _: None).store(some("e"), 1)

    asyncio.run(use())

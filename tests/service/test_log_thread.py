"""An append waits for the log and not for the turns of a busy event loop."""

import asyncio
import time

import numpy as np
import pytest
import uvloop

from contract.async_event_log import AsyncEventLog
from contract.blocks import encode_partitions, pieces_of
from contract.errors import LogUnavailable
from contract.event_log import EventLog
from contract.events import EventLists, Events, FeedbackEvent
from service.log_thread import LogThread

BUSY_S = 0.05  # of each turn
TURNS = 3  # the hand-over each way, and the one in which it is asked for


def block() -> dict[int, tuple[int, bytes]]:
    event = FeedbackEvent(event_id="e", user_id="u", item_id="v", at=1, watch_ms=1)
    return encode_partitions([pieces_of(Events.from_lists(EventLists.of_models([event])))])


def test_a_busy_loop_delays_an_append_by_the_hand_over_only(log_url: str) -> None:
    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        turn, is_over = 0, False

        def busy() -> None:
            nonlocal turn
            turn += 1
            time.sleep(BUSY_S)
            if not is_over:
                loop.call_soon(busy)

        log = LogThread(AsyncEventLog(log_url, 5.0, 100))
        await log.append(block())
        loop.call_soon(busy)
        took = []
        for _ in range(5):
            began = turn
            await log.append(block())
            took.append(turn - began)
        is_over = True
        await log.close()
        return took

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = runner.run(run())
    assert np.median(took) <= TURNS
    reader = EventLog(log_url)
    assert len(reader.read_after({}, 100).entries) == 6
    reader.close()


def test_what_the_log_raises_is_raised_here_and_closing_ends_the_thread() -> None:
    async def run() -> None:
        log = LogThread(AsyncEventLog("redis://127.0.0.1:1", 0.5, 100))
        with pytest.raises(LogUnavailable):
            await log.append(block())
        await log.close()
        await LogThread(AsyncEventLog("redis://127.0.0.1:1", 0.5, 100)).close()

    asyncio.run(run())

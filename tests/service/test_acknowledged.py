"""From acknowledged to served: every event once, never early, in bounded memory."""

import time

from hypothesis import given
from hypothesis import strategies as st

from contract.registry import Registry
from service.acknowledged import MOST_TENTHS, TENTH_MS, Acknowledged
from service.tally import Spread
from tests.service.conftest import Client, metric, serving, until
from tests.versions import promote_version

BOUNDS = (1.0, 2.0, 5.0)


def test_events_are_told_once_when_a_version_has_them() -> None:
    spread = Spread(BOUNDS)
    waiting = Acknowledged(spread)
    waiting.note(1_000_010, 3)
    waiting.note(1_000_090, 2)
    waiting.note(1_001_500, 1)
    waiting.served(through_ms=1_000_099, now_ms=1_002_000)
    assert sum(spread.counts) == 0  # the tenth of a second is not over: some of it may not be in
    waiting.served(through_ms=1_000_100, now_ms=1_002_000)
    assert (spread.counts, len(waiting)) == ([0, 5, 0, 0], 1)
    assert abs(spread.sum - 5 * 1.95) < 1e-9
    waiting.served(through_ms=1_000_100, now_ms=1_003_000)  # the same version again
    assert sum(spread.counts) == 5


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 9))), st.integers(0, 6_000))
def test_no_event_is_told_before_a_version_has_it_and_none_is_lost(noted: list[tuple[int, int]], through: int) -> None:
    spread = Spread(BOUNDS)
    waiting = Acknowledged(spread)
    for at_ms, events in sorted(noted):
        waiting.note(at_ms, events)
    waiting.served(through, now_ms=10_000)
    assert sum(spread.counts) <= sum(events for at_ms, events in noted if at_ms < through)
    assert sum(spread.counts) >= sum(events for at_ms, events in noted if at_ms < through - TENTH_MS)
    waiting.served(100_000, now_ms=100_000)
    assert sum(spread.counts) == sum(events for _, events in noted)


def test_memory_is_bounded_while_no_version_comes_and_the_oldest_still_count() -> None:
    spread = Spread(BOUNDS)
    waiting = Acknowledged(spread)
    for tenth in range(MOST_TENTHS + 50):
        waiting.note(tenth * TENTH_MS, 1)
    waiting.note(0, 1)  # the clock was set back
    assert len(waiting) == MOST_TENTHS
    waiting.served(10**9, now_ms=10**9)
    assert spread.counts == [0, 0, 0, MOST_TENTHS + 51]


def test_a_version_that_learned_past_the_acknowledgement_ends_the_wait(client: Client, registry: Registry) -> None:
    events = [{"event_id": name, "user_id": "u1", "item_id": "v1", "at": 1, "watch_ms": 100} for name in "ab"]
    assert client.post("/v1/feedback", json=events).status_code == 202
    now_ms = time.time_ns() // 1_000_000
    for learned_ms, told in ((now_ms - 5_000, 0), (now_ms + 5_000, 2)):
        version, _ = promote_version(registry, acknowledged_ms=learned_ms)
        until(lambda version=version: serving(client) == version)  # type: ignore[misc]
        assert metric(client, "winnow_acknowledged_to_served_seconds_count") == told

"""A backlog is long when what waits takes longer than may be waited, whatever one request costs."""

import pytest

from service.backlog import MOST_FIRST_EVENTS, AppendBacklog, Backlog


def burst(backlog: Backlog, requests: int, cost_s: float, now: float) -> float:
    """Let requests arrive at once and begin one after the other; return the time after."""
    for _ in range(requests):
        backlog.arrive()
    for _ in range(requests):
        backlog.begin(now)
        now += cost_s
    return now


@pytest.mark.parametrize("cost_s", [0.0001, 0.001, 0.01])
def test_the_bound_follows_what_a_request_costs(cost_s: float) -> None:
    backlog, now = Backlog(0.1), 0.0
    for _ in range(30):
        now = burst(backlog, 20, cost_s, now) + 1.0  # idle between bursts: that is no cost
    taken = 0
    while not backlog.is_long:
        backlog.arrive()
        taken += 1
    assert taken == pytest.approx(0.1 / cost_s, rel=0.1)


def test_one_request_is_always_taken() -> None:
    backlog, now = Backlog(0.001), 0.0
    for _ in range(30):
        now = burst(backlog, 20, 5.0, now)
    assert not backlog.is_long
    backlog.arrive()
    assert backlog.is_long


@pytest.mark.parametrize("events_a_second", [200_000, 1_000_000])
def test_the_bound_on_events_follows_how_fast_they_are_appended(events_a_second: int) -> None:
    backlog = AppendBacklog(0.1)
    for _ in range(30):
        backlog.took(20_000 / events_a_second, 20_000)
        backlog.took(0.001, 1)  # one event alone says little of many
    taken = 0
    while not backlog.is_long:
        backlog.wait(100)
        taken += 100
    assert taken == pytest.approx(0.1 * events_a_second, rel=0.2)
    backlog.leave(taken)
    assert not backlog.is_long


def test_one_transaction_may_always_gather() -> None:
    backlog = AppendBacklog(0.1)
    for _ in range(30):
        backlog.took(5.0, 256)  # the disk hangs
    backlog.wait(MOST_FIRST_EVENTS - 1)
    assert not backlog.is_long
    backlog.wait(1)
    assert backlog.is_long

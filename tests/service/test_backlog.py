"""The backlog is long when what waits takes longer than may be waited, whatever one request costs."""

import pytest

from service.backlog import Backlog


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

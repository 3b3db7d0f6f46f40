"""A backlog is long when what waits takes longer than may be waited, whatever one request costs."""

import pytest

from service.backlog import BURST, MOST_FIRST_EVENTS, AppendBacklog, Backlog


def burst(backlog: Backlog, requests: int, cost_s: float, now: float) -> float:
    """Let requests arrive at once and begin one after the other; return the time after."""
    for _ in range(requests):
        backlog.arrive(now)
    return begun(backlog, requests, cost_s, now)


def taken(backlog: Backlog, now: float) -> int:
    """Let requests arrive until one would be refused; return how many were not."""
    count = 0
    while not backlog.is_long:
        backlog.arrive(now)
        count += 1
    return count


def begun(backlog: Backlog, requests: int, cost_s: float, now: float) -> float:
    """Begin what has arrived; return the time after."""
    for _ in range(requests):
        backlog.begin(now)
        now += cost_s
    return now


def settled(most_s: float, cost_s: float) -> tuple[Backlog, float]:
    """Return a backlog that knows what a request costs, idle since long ago, and the time."""
    backlog, now = Backlog(most_s), 0.0
    for _ in range(30):
        now = burst(backlog, 20, cost_s, now) + 10.0  # idle between bursts: that is no cost
    return backlog, now


@pytest.mark.parametrize("cost_s", [0.0001, 0.001, 0.01])
def test_the_bound_follows_what_a_request_costs(cost_s: float) -> None:
    backlog, now = settled(0.1, cost_s)
    assert taken(backlog, now) == pytest.approx(BURST * 0.1 / cost_s, rel=0.1)


def test_a_pause_is_no_overload_however_often_it_comes() -> None:
    backlog, now = settled(0.1, 0.001)
    for _ in range(20):  # half of what is done in the time comes, 250 at once after a pause, then as it is due
        for requests in (250, 125, 62, 31, 15, 7):
            for _ in range(requests):
                assert not backlog.is_long
                backlog.arrive(now)
            now = begun(backlog, requests, 0.001, now)
        now += 1.0


def turns(backlog: Backlog, number: int, refused: float, now: float) -> tuple[list[int], float]:
    """Let more arrive in each turn than is taken; return how many were, and the time after."""
    seen = []
    for _ in range(number):
        seen.append(taken(backlog, now))
        for _ in range(round(refused * seen[-1])):
            backlog.refuse()
        now = begun(backlog, seen[-1], 0.001, now)
    return seen, now


def test_an_overload_is_bounded_from_its_second_turn_until_it_has_gone() -> None:
    backlog, now = settled(0.1, 0.001)
    seen, now = turns(backlog, 10, refused=4.0, now=now)
    assert seen[0] == pytest.approx(300, rel=0.1)  # a burst, as far as can be known
    assert seen[1:] == pytest.approx([100] * 9, rel=0.1)
    now = burst(backlog, 1, 0.001, now)
    assert taken(backlog, now) == pytest.approx(100, rel=0.1)  # not gone yet
    now = begun(backlog, 101, 0.001, now) + 1.0
    assert taken(backlog, now) == pytest.approx(300, rel=0.1)


def test_a_queue_that_is_long_for_long_stands() -> None:
    backlog, now = settled(0.1, 0.001)
    seen, _ = turns(backlog, 20, refused=0.1, now=now)  # 300 a turn, so 0.3 s
    assert seen == pytest.approx([300] * 7 + [100] * 13, rel=0.1)


def test_bursts_with_nothing_between_them_do_not_stand() -> None:
    backlog, now = settled(0.1, 0.001)
    for _ in range(10):
        (requests,), now = turns(backlog, 1, refused=0.5, now=now)
        assert requests == pytest.approx(300, rel=0.1)
        now += 1.0


def test_what_is_taken_while_another_queue_refuses_is_no_burst() -> None:
    backlog, now = settled(0.1, 0.001)
    for _ in range(30):
        backlog.refuse()
    now = burst(backlog, 20, 0.001, now)
    assert taken(backlog, now) == pytest.approx(100, rel=0.1)


def test_one_request_is_always_taken() -> None:
    backlog, now = settled(0.001, 5.0)
    assert taken(backlog, now) == 1


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

"""Buckets and counts: what is let in over any time is bounded, and what waits is told how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rates import Bucket, UserCounts, too_often


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 30)), max_size=60), st.floats(0.5, 50))
def test_a_bucket_lets_in_its_rate_one_second_ahead_and_one_batch(steps: list[tuple[float, int]], rate: float) -> None:
    bucket, now, taken = Bucket(rate), 100.0, 0
    for pause, number in steps:
        now += pause
        if bucket.take(number, now) == 0:
            taken += number
    assert taken <= max(rate, 1) + rate * (now - 100.0) + 30 + 1e-6


def test_who_waits_as_long_as_told_is_let_in() -> None:
    bucket = Bucket(2.0)
    assert bucket.take(10, 0.0) == 0
    wait_s = bucket.take(1, 0.0)
    assert wait_s == pytest.approx(4.5)
    assert bucket.take(1, wait_s * 0.99) > 0
    assert bucket.take(1, wait_s + 1e-6) == 0


def test_a_user_has_so_many_events_a_minute_and_others_have_theirs() -> None:
    counts = UserCounts(3)
    assert counts.take(["a", "a", "b"], 1_000.0) is None
    assert counts.take(["b", "a", "a"], 1_010.0) == (2, 50.0)
    assert counts.take(["b", "a"], 1_020.0) is None  # nothing of the refused batch was counted
    assert counts.take(["a"], 1_059.0) is not None
    assert counts.take(["a"], 1_060.0) is None


def test_the_users_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.rates._USERS_COUNTED", 100)
    counts = UserCounts(1)
    for number in range(1_000):
        counts.take([f"u{number}"], 1_000.0)
        assert len(counts._counts) <= 101


@pytest.mark.parametrize(("wait_s", "said"), [(0.001, "1"), (1.0, "1"), (1.001, "2"), (59.5, "60")])
def test_retry_after_is_in_whole_seconds_and_never_too_short(wait_s: float, said: str) -> None:
    error = too_often(wait_s, "x", "WINNOW_X")
    assert (error.status_code, (error.headers or {})["retry-after"]) == (429, said)

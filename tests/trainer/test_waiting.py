"""What waits, how long, and what is never learned at all."""

from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.strategies  # noqa: F401  registers the profile
from contract.side import SIDE_SLOTS
from trainer.labels import NEGATIVE, POSITIVE, UNLABELLED
from trainer.waiting import SAMPLE, Held, Holdout, Queue, held_out, waits

Keys = npt.NDArray[np.uint64]

counts_of_batches = st.lists(st.integers(0, 5), max_size=12)


def keys(count: int, seed: int = 0) -> Keys:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def numbered(first: int, count: int) -> Held:
    """Examples that can be told apart by any column."""
    number = np.arange(first, first + count, dtype=np.float64)
    return Held(
        user_key=number.astype(np.uint64),
        item_key=number.astype(np.uint64) + np.uint64(1_000),
        side=np.repeat(number[:, None].astype(np.int32), SIDE_SLOTS, 1),
        label=np.where(number % 3 == 0, POSITIVE, UNLABELLED).astype(np.int8),
        quantile=np.where(number % 5 == 0, np.nan, number / 1_000),
        llr=np.stack([number, -number], 1),
        cell=(number % 40).astype(np.int16),
        watch_counts=number / 7,
        offset=np.stack([number / 3, number / 9], 1),
        trust=1 / (1 + number),
    )


def users(held: Held) -> list[int]:
    return [int(key) for key in held.user_key]


def assert_equal(one: Held, two: Held) -> None:
    for field in fields(Held):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)
        assert getattr(one, field.name).dtype == getattr(two, field.name).dtype, field.name


def test_every_explicit_event_waits_and_one_in_ten_of_the_rest() -> None:
    key = keys(20_000)
    for label in (POSITIVE, NEGATIVE):
        assert waits(key, np.full(len(key), label, np.int8)).all()
    unsaid = waits(key, np.full(len(key), UNLABELLED, np.int8))
    assert unsaid.mean() == pytest.approx(1 / SAMPLE, abs=0.01)


def test_judges_weigh_as_many_as_they_stand_for() -> None:
    """So that the mean loss of those who wait is that of all: one in SAMPLE of the unsaid counts SAMPLE times."""
    key = keys(50_000)
    label = np.where(np.arange(len(key)) % 50 == 0, POSITIVE, UNLABELLED).astype(np.int8)
    held = replace(numbered(0, len(key)), label=label, trust=np.ones(len(key))).take(waits(key, label))
    weight = held.judge_weights(1.0)
    assert set(weight[held.label == POSITIVE]) == {1.0}
    assert weight.sum() == pytest.approx(len(key), rel=0.02)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_what_stays_out_stays_out_under_a_larger_share(numbers: list[int], one: float, two: float) -> None:
    key = np.array(numbers, np.uint64)
    fewer, more = (held_out(key, share) for share in sorted((one, two)))
    assert not (fewer & ~more).any()
    assert not held_out(key, 0.0).any()
    np.testing.assert_array_equal(held_out(key[::-1], one)[::-1], held_out(key, one))


def test_the_share_that_stays_out_is_the_one_asked_for_whether_or_not_an_event_would_wait() -> None:
    key = keys(100_000)
    out = held_out(key, 0.02)
    waiting = waits(key, np.full(len(key), UNLABELLED, np.int8))
    assert out.mean() == pytest.approx(0.02, abs=0.002)
    assert out[waiting].mean() == pytest.approx(0.02, abs=0.005)


@given(counts_of_batches, st.integers(0, 40), st.integers(1, 10))
def test_whoever_waits_leaves_once_and_in_order_when_enough_events_have_passed(
    arriving: list[int], wait_events: int, step: int
) -> None:
    queue, came, left = Queue(wait_events), dict[int, int](), list[int]()
    first = 0
    for turn, count in enumerate([*arriving, *[0] * (wait_events // step + 2)]):
        stepped = turn * step
        leaving = queue.leaving(stepped)
        waiting = queue.everything()
        assert all(stepped - came[user] >= wait_events for user in users(leaving))
        assert all(stepped - came[user] < wait_events for user in users(waiting))  # nobody waits longer
        assert not set(users(leaving)) & set(users(waiting))
        left += users(leaving)
        queue.add(stepped, numbered(first, count))
        came |= dict.fromkeys(range(first, first + count), stepped)
        first += count
    assert left == list(range(first))


def test_those_who_wait_come_back_as_they_came() -> None:
    queue = Queue(100)
    queue.add(0, numbered(0, 7))
    queue.add(50, numbered(7, 4))
    assert_equal(queue.everything(), numbered(0, 11))
    assert_equal(queue.leaving(100), numbered(0, 7))
    assert_equal(queue.leaving(150), numbered(7, 4))
    assert len(queue.everything()) == 0


@given(counts_of_batches, st.integers(0, 12))
def test_a_restored_queue_lets_the_same_examples_leave_at_the_same_time(arriving: list[int], moment: int) -> None:
    first, second, number = Queue(30), Queue(30), 0
    for turn, count in enumerate(arriving):
        first.add(10 * turn, numbered(number, count))
        number += count
    first.leaving(10 * moment)
    second.restore({name: value.copy() for name, value in first.state().items()})
    for stepped in range(0, 300, 10):
        assert_equal(second.leaving(stepped), first.leaving(stepped))


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(0, 15))
def test_the_holdout_keeps_the_latest_and_no_more(arriving: list[int], capacity: int) -> None:
    holdout, restored, first = Holdout(capacity), Holdout(capacity), 0
    for count in arriving:
        holdout.add(numbered(first, count))
        first += count
        assert holdout._count <= 2 * capacity + count  # what is in memory, between cuts
    kept = min(first, capacity)
    assert_equal(holdout.held, numbered(first - kept, kept))
    restored.restore({name: value.copy() for name, value in holdout.state().items()})
    for each in (holdout, restored):
        each.add(numbered(first, 3))
    assert_equal(restored.held, holdout.held)


def test_no_examples_have_the_columns_of_examples() -> None:
    empty = Held.empty()
    assert len(empty) == len(Held.concatenate([])) == len(Held.concatenate([empty, empty])) == 0
    assert_equal(empty, numbered(0, 0))
    assert_equal(Held.concatenate([empty, numbered(0, 3), empty, numbered(3, 2)]), numbered(0, 5))

"""Counts and their log-odds against the definition, event by event, in plain float64."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.strategies  # noqa: F401  registers the profile
from models.counts import (
    AUTHOR,
    DISLIKE,
    DISLIKE_STRENGTH,
    DURATION,
    EXPLICIT,
    HALF_LIFE,
    ITEM,
    SIDE_SLOT,
    SLOTS,
    STRENGTH,
    SURFACE,
    TAG,
    USER,
    WATCH,
    WATCH_STRENGTH,
    CountFeatures,
    Counts,
    Told,
)
from tests.golden.reference import LogOdds, Seen

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
SideRows = npt.NDArray[np.int32]

USERS, ITEMS, SIDES = 5, 7, 16
NOBODY = np.zeros(1, np.int64)


def sides(rows: npt.ArrayLike) -> SideRows:
    return np.array(rows, np.int32)


def counts() -> Counts:
    return Counts(USERS, ITEMS, SIDES)


class Stream:
    """Drawn events: unknown ids, absent features, equal tags, fractional weights and held-out events included."""

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.user, self.item = rng.integers(0, USERS, size), rng.integers(0, ITEMS, size)
        self.side = sides(np.where(rng.random((size, 7)) < 0.3, 0, rng.integers(1, SIDES, (size, 7))))
        said = rng.random(size) < 0.3
        self.told = Told(
            w=rng.choice([0.0, 0.25, 1.0], size),
            weight=rng.choice([0.0, 0.5, 1.0], size),
            quantile=np.where(rng.random(size) < 0.2, np.nan, rng.random(size)),
            said=said,
            dislike=said & (rng.random(size) < 0.4),
            counted=rng.random(size) < 0.8,
        )

    def __len__(self) -> int:
        return len(self.user)

    def pairs(self, index: slice) -> tuple[Rows, Rows, SideRows]:
        return self.user[index], self.item[index], self.side[index]

    def part(self, index: slice) -> tuple[Rows, Rows, SideRows, Told]:
        return *self.pairs(index), Told(*(getattr(self.told, field.name)[index] for field in fields(Told)))

    def event(self, place: int) -> Seen:
        """One event as the reference takes it."""
        rows = [("users", int(self.user[place]), USER), ("items", int(self.item[place]), ITEM)]
        rows += [("sides", int(row), int(slot)) for row, slot in zip(self.side[place], SIDE_SLOT, strict=True)]
        told = {field.name: getattr(self.told, field.name)[place].item() for field in fields(Told)}
        return Seen(tuple(row for row in rows if row[1]), **told)


def reference() -> LogOdds:
    imagined = [(20.0, 0.4), (20.0, 10.0), (10.0, 1.0)]
    return LogOdds(HALF_LIFE, [STRENGTH, WATCH_STRENGTH, DISLIKE_STRENGTH], imagined)


def play(found: Counts, stream: Stream, cuts: list[int]) -> CountFeatures:
    """Count the stream in parts."""
    ends = [0, *sorted(cuts), len(stream)]
    parts = [found.read_and_count(*stream.part(slice(*pair))) for pair in pairwise(ends)]
    return CountFeatures(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(CountFeatures)))


def take(features: CountFeatures, index: slice | npt.NDArray[np.bool_]) -> CountFeatures:
    return CountFeatures(*(getattr(features, field.name)[index] for field in fields(CountFeatures)))


def assert_equal(one: CountFeatures, two: CountFeatures) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(two, name), err_msg=name)


def trace(found: Counts) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in found.state().items()}


@pytest.mark.parametrize("seed", range(3))
def test_features_equal_the_definition_event_by_event(seed: int) -> None:
    stream, plain = Stream(120, seed), reference()
    found = play(counts(), stream, [])
    for place in range(len(stream)):
        llr, base, seen = plain.features(stream.event(place))
        np.testing.assert_allclose(found.base[place], base, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.llr[place], llr, rtol=0, atol=5e-6)  # counts are kept in float32
        np.testing.assert_allclose(found.seen[place], seen, rtol=0, atol=5e-6)


def test_the_slots_read_their_own_strength() -> None:
    """One exposure, positive and wholly watched, in every slot; each says so the more, the less it is smoothed."""
    found, side = counts(), sides([[1, 2, 3, 4, 5, 0, 0]])
    one = np.ones(1)
    found.read_and_count(NOBODY + 1, NOBODY + 1, side, Told(one, one, one, one > 0, one > 0, one > 0))
    llr = found.read(NOBODY + 1, NOBODY + 1, side).llr[0]
    rate = np.array([1.4 / 21, 11 / 21, 2 / 11])
    for head, strength in ((EXPLICIT, STRENGTH), (WATCH, WATCH_STRENGTH), (DISLIKE, DISLIKE_STRENGTH)):
        g = rate[head]
        once = [np.log((1 + k * g) / (k * (1 - g))) - np.log(g / (1 - g)) for k in strength]
        once[TAG] *= 2  # two tags add up
        np.testing.assert_allclose(llr[head], once, atol=1e-5)
    assert SLOTS == ("user", "item", "surface", "duration", "author", "tag")
    assert sorted(SIDE_SLOT) == [SURFACE, DURATION, AUTHOR, TAG, TAG, TAG, TAG]


@settings(max_examples=25)
@given(st.integers(0, 9_999), st.lists(st.integers(0, 60), max_size=5))
def test_how_the_stream_is_cut_into_batches_does_not_matter(seed: int, cuts: list[int]) -> None:
    stream, whole, parts = Stream(60, seed), counts(), counts()
    one, many = play(whole, stream, []), play(parts, stream, cuts)
    assert_equal(one, many)
    assert trace(whole) == trace(parts)


@settings(max_examples=25)
@given(st.integers(0, 9_999), st.integers(0, 39))
def test_an_event_is_never_in_its_own_features(seed: int, place: int) -> None:
    """Whatever it turns out to be, what was said of it and of those before is the same."""
    stream, other = Stream(40, seed), Stream(40, seed)
    other.told.w[place] = 1.0 - other.told.w[place]
    other.told.weight[place] = 7.0
    other.told.quantile[place] = 0.123
    other.told.said[place] = other.told.dislike[place] = not other.told.said[place]
    stream.told.counted[place] = other.told.counted[place] = True
    one, two = play(counts(), stream, []), play(counts(), other, [])
    assert_equal(*(take(found, slice(place + 1)) for found in (one, two)))


@settings(max_examples=25)
@given(st.integers(0, 9_999))
def test_held_out_events_leave_no_trace(seed: int) -> None:
    stream, bare = Stream(60, seed), Stream(60, seed)
    kept = stream.told.counted
    bare.user, bare.item, bare.side = bare.user[kept], bare.item[kept], bare.side[kept]
    bare.told = Told(*(getattr(bare.told, field.name)[kept] for field in fields(Told)))
    with_them, without = counts(), counts()
    one, two = play(with_them, stream, []), play(without, bare, [])
    assert trace(with_them) == trace(without)
    assert_equal(take(one, kept), two)


def test_reading_leaves_no_trace_and_says_what_the_next_event_would_be_told() -> None:
    stream, found = Stream(80, 4), counts()
    play(found, stream, [])
    before = trace(found)
    read = found.read(*stream.pairs(slice(0, 30)))
    assert trace(found) == before
    for place in range(30):
        again = counts()
        again.restore(found.state())
        _, _, _, told = stream.part(slice(place, place + 1))
        counted = again.read_and_count(*stream.pairs(slice(place, place + 1)), told)
        np.testing.assert_allclose(counted.llr[0], read.llr[place], rtol=0, atol=1e-6)  # float32 fades when written


def test_unknown_ids_and_absent_features_say_nothing_and_are_not_counted() -> None:
    found, nothing = counts(), sides([[0] * 7])
    one = np.ones(1)
    features = found.read_and_count(NOBODY, NOBODY, nothing, Told(one, one, one, one > 0, one > 0, one > 0))
    assert not features.llr.any()
    assert not features.seen.any()
    assert not any(table.any() for table in found.tables.values())
    assert found.totals[:6].tolist() == [1.0] * 6  # it does count among all


def test_dislikes_are_counted_among_explicit_words_only() -> None:
    stream = Stream(200, 5)
    hushed = replace(stream.told, said=np.zeros(200, np.bool_), dislike=np.ones(200, np.bool_))
    spoken, silent = counts(), counts()
    play(spoken, stream, [])
    stream.told = hushed
    features = play(silent, stream, [])
    assert not features.llr[:, DISLIKE].any()
    assert silent.negative_share == 0.0
    assert not silent.totals[4:6].any()
    np.testing.assert_array_equal(spoken.tables["users"][:, :4], silent.tables["users"][:, :4])
    np.testing.assert_array_equal(spoken.totals[:4], silent.totals[:4])


@pytest.mark.parametrize("seed", range(3))
def test_a_correction_is_as_if_it_had_been_counted_right_the_first_time(seed: int) -> None:
    size = 3_000  # long enough for a correction that did not fade to show
    stream, right, corrected = Stream(size, seed), counts(), counts()
    rng = np.random.default_rng(seed)
    w, weight = rng.random(size), rng.choice([0.0, 0.3, 1.0], size)
    guessed = stream.told
    stream.told = replace(guessed, w=w, weight=weight)
    play(right, stream, [])
    stream.told = guessed
    play(corrected, stream, [])
    at = np.flatnonzero(guessed.counted)
    corrected.correct(
        stream.user[at], stream.item[at], stream.side[at],
        (weight - guessed.weight)[at], (weight * w - guessed.weight * guessed.w)[at], np.arange(len(at), 0, -1),
    )  # fmt: skip
    for space, table in corrected.tables.items():
        np.testing.assert_allclose(table, right.tables[space], rtol=2e-5, atol=1e-3)  # float32
        np.testing.assert_array_equal(table[:, 2:], right.tables[space][:, 2:])
    np.testing.assert_allclose(corrected.totals, right.totals, rtol=1e-9)
    assert corrected.tick == right.tick


def test_a_correction_of_one_event_is_exact() -> None:
    side = sides([[1, 0, 3, 4, 0, 0, 0]])
    seen = Told(np.zeros(1), np.ones(1), np.full(1, 0.5), np.zeros(1, np.bool_), np.zeros(1, np.bool_), NOBODY == 0)
    right, corrected = counts(), counts()
    right.read_and_count(NOBODY + 2, NOBODY + 3, side, replace(seen, w=np.full(1, 0.25), weight=np.full(1, 0.5)))
    corrected.read_and_count(NOBODY + 2, NOBODY + 3, side, seen)
    corrected.correct(NOBODY + 2, NOBODY + 3, side, np.full(1, -0.5), np.full(1, 0.125), np.ones(1, np.int64))
    assert trace(corrected) == trace(right)


@pytest.mark.parametrize("halvings", [0, 1, 3])
def test_counts_halve_every_half_life(halvings: int) -> None:
    stream, found = Stream(60, 6), counts()
    play(found, stream, [])
    rows = found.tables["items"].astype(np.float64) * 0.5**halvings
    ages = found.last["items"] - found.tick
    found.tick += int(halvings * HALF_LIFE)
    llr = found.row_llr("items", slice(1, None), ITEM)
    for row in range(1, ITEMS):
        n, p = rows[row, :2] * 2.0 ** (ages[row] / HALF_LIFE)
        g, k = found.positive_rate, STRENGTH[ITEM]
        smoothed = (p + k * g) / (n + k)
        expected = np.log(smoothed / (1 - smoothed)) - np.log(g / (1 - g))
        assert llr[row - 1, EXPLICIT] == pytest.approx(expected, abs=1e-6)


def test_what_is_published_of_a_row_is_what_reading_it_says() -> None:
    stream, found = Stream(150, 7), counts()
    play(found, stream, [])
    nobody = np.zeros(USERS, np.int64)
    users = found.read(np.arange(USERS), nobody, sides(np.zeros((USERS, 7))))
    items = found.read(np.zeros(ITEMS, np.int64), np.arange(ITEMS), sides(np.zeros((ITEMS, 7))))
    np.testing.assert_allclose(found.row_llr("users", slice(1, None), USER), users.llr[1:, :, USER], atol=1e-6)
    np.testing.assert_allclose(found.row_llr("items", slice(1, None), ITEM), items.llr[1:, :, ITEM], atol=1e-6)
    np.testing.assert_allclose(found.item_seen(slice(None)), items.seen, atol=1e-6)
    for column, slot in enumerate(SIDE_SLOT):
        side = sides(np.zeros((SIDES, 7)))
        side[:, column] = np.arange(SIDES)
        none = np.zeros(SIDES, np.int64)
        read = found.read(none, none, side)
        np.testing.assert_allclose(found.row_llr("sides", slice(1, None), int(slot)), read.llr[1:, :, slot], atol=1e-6)
        np.testing.assert_allclose(read.base[0], found.base())


def test_a_row_with_a_new_owner_says_nothing() -> None:
    stream, found = Stream(100, 8), counts()
    play(found, stream, [])
    found.start_rows("items", np.array([2]))
    read = found.read(np.zeros(4, np.int64), np.arange(4), sides(np.zeros((4, 7))))
    assert [row.any() for row in read.llr[:, :, ITEM]] == [False, True, False, True]
    assert read.seen[2] == read.seen[0] < read.seen[1]  # as one that never came


def test_the_shares_are_the_smoothed_ones() -> None:
    found = counts()
    assert found.positive_rate == pytest.approx(0.4 / 20)
    assert found.negative_share == 0.0
    stream = Stream(100, 9)
    play(found, stream, [])
    n, p, _, _, e, d = found.totals[:6]
    assert found.positive_rate == pytest.approx((p + 0.4) / (n + 20))
    assert found.negative_share == pytest.approx(d / (e + 30))


def test_restored_counts_go_on_bitwise_in_larger_tables_too() -> None:
    stream, first = Stream(120, 10), counts()
    play(first, Stream(120, 11), [])
    second = Counts(USERS + 3, ITEMS + 2, SIDES + 1)
    second.restore({name: value.copy() for name, value in first.state().items()})
    one, two = play(first, stream, []), play(second, stream, [])
    assert_equal(one, two)
    for space, table in first.tables.items():
        np.testing.assert_array_equal(second.tables[space][: len(table)], table)
        assert not second.tables[space][len(table) :].any()
    assert second.tick == first.tick

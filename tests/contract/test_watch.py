"""What a watch says: its flag, its quantile among views of like length, and how telling its cell is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.events import ABSENT, MAX_MS
from contract.watch import (
    CELLS,
    DECILES,
    DURATION_BUCKETS,
    DURATION_EDGES_MS,
    NO_CELL,
    SURFACE_CELLS,
    SURFACES,
    UNKNOWN_DURATION,
    WATCH_BINS,
    Evidence,
    Flag,
    WatchTables,
    duration_buckets,
    flags_of,
    long_views,
    surface_place,
    watch_bins,
)

watches_ms = st.integers(ABSENT, MAX_MS)
durations_ms = st.integers(ABSENT, MAX_MS)
FEED = surface_place("feed")


def ms(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, np.int32)


def tables(histogram: np.ndarray[tuple[int, int], np.dtype[np.float64]] | None = None) -> WatchTables:
    """Return tables in which each cell's ratio is its own number."""
    empty = np.zeros((DURATION_BUCKETS, WATCH_BINS))
    ratios = np.arange(CELLS, dtype=np.float64), np.arange(SURFACE_CELLS, dtype=np.float64)
    return WatchTables(empty if histogram is None else histogram, *ratios)


def read(found: WatchTables, watch_ms: int, duration_ms: int, foreground: int = 1, surface: str = "feed") -> Evidence:
    return found.read(ms(watch_ms), ms(duration_ms), np.array([foreground], np.int8), [surface])


@pytest.mark.parametrize(
    ("watch_ms", "duration_ms", "flag"),
    [
        (999, 9_000, Flag.SWIPE),
        (1_000, 9_000, Flag.NONE),
        (1_999, 100_000, Flag.SWIPE),
        (2_000, 100_000, Flag.NONE),
        (8_549, 9_000, Flag.NONE),
        (8_550, 9_000, Flag.COMPLETE),
        (13_500, 9_000, Flag.COMPLETE),
        (13_501, 9_000, Flag.LOOP),
        (500, 500, Flag.COMPLETE),
        (999, 0, Flag.SWIPE),
        (MAX_MS, ABSENT, Flag.NONE),
    ],
)
def test_flags_have_the_stated_bounds(watch_ms: int, duration_ms: int, flag: Flag) -> None:
    assert flags_of(ms(watch_ms), ms(duration_ms)).tolist() == [flag]


@pytest.mark.parametrize(
    ("watch_ms", "duration_ms", "is_long"),
    [(9_000, 9_000, True), (8_999, 9_000, False), (18_000, 60_000, True), (17_999, 60_000, False), (18_000, 0, True)],
)
def test_a_long_view_is_the_whole_video_or_eighteen_seconds(watch_ms: int, duration_ms: int, is_long: bool) -> None:
    assert long_views(ms(watch_ms), ms(duration_ms)).tolist() == [is_long]


def test_a_duration_is_counted_in_the_bucket_between_its_edges() -> None:
    assert duration_buckets(ms(ABSENT, 0)).tolist() == [UNKNOWN_DURATION] * 2
    assert duration_buckets(ms(1, 4_999, 5_000, 300_000, MAX_MS)).tolist() == [0, 0, 1, 19, 19]
    middles = ((DURATION_EDGES_MS[1:] + DURATION_EDGES_MS[:-1]) / 2).astype(np.int32)
    assert duration_buckets(middles).tolist() == list(range(1, 19))


@given(watches_ms, watches_ms, durations_ms)
def test_a_longer_watch_never_has_an_earlier_bin(first: int, second: int, duration_ms: int) -> None:
    low, high = watch_bins(ms(*sorted((first, second))), ms(duration_ms, duration_ms)).tolist()
    assert 0 <= low <= high < WATCH_BINS


def test_a_watch_past_the_end_counts_as_the_whole_video() -> None:
    assert watch_bins(ms(9_000), ms(9_000)) == watch_bins(ms(90_000), ms(9_000)) < watch_bins(ms(90_000), ms(0))


def test_the_quantile_is_the_share_of_shorter_views_and_half_of_equal_ones() -> None:
    histogram = np.zeros((DURATION_BUCKETS, WATCH_BINS))
    bucket, place = int(duration_buckets(ms(9_000))[0]), int(watch_bins(ms(4_000), ms(9_000))[0])
    histogram[bucket, place - 1], histogram[bucket, place], histogram[bucket, place + 1] = 5.0, 2.0, 3.0
    histogram[bucket + 1] = 1_000.0  # other lengths do not count
    found = read(tables(histogram), 4_000, 9_000)
    assert found.quantile.tolist() == [pytest.approx((5.0 + 1.0) / 10.0)]
    assert found.cell.tolist() == [6 * len(Flag) + Flag.NONE]
    assert found.llr.tolist() == [[6 * len(Flag), FEED * DECILES + 6]]


def test_with_nothing_on_record_a_watch_is_a_middling_one() -> None:
    found = read(tables(), 4_000, 9_000)
    assert found.quantile.tolist() == [0.5]
    assert found.cell.tolist() == [5 * len(Flag)]


def test_no_watch_says_nothing_at_all() -> None:
    found = read(tables(), ABSENT, 9_000)
    assert np.isnan(found.quantile).all()
    assert (found.flag.tolist(), found.cell.tolist(), found.surface_cell.tolist()) == ([0], [NO_CELL], [NO_CELL])
    assert found.llr.tolist() == [[0.0, 0.0]]


def test_a_view_in_the_background_says_nothing_by_its_length_and_an_unstated_one_does() -> None:
    hidden, unstated = read(tables(), 9_000, 9_000, foreground=0), read(tables(), 9_000, 9_000, foreground=ABSENT)
    assert (hidden.cell.tolist(), hidden.llr.tolist()) == ([NO_CELL], [[0.0, 0.0]])
    assert unstated.llr.tolist() == [[5 * len(Flag) + Flag.COMPLETE, FEED * DECILES + 5]]


@given(st.lists(st.tuples(watches_ms, durations_ms, st.integers(-1, 1), st.sampled_from(["", "feed", "视频"]))))
def test_any_batch_reads_like_its_rows(rows: list[tuple[int, int, int, str]]) -> None:
    found = tables(np.random.default_rng(0).integers(0, 5, (DURATION_BUCKETS, WATCH_BINS)).astype(np.float64))
    watch_ms, duration_ms, foreground, surface = zip(*rows, strict=True) if rows else ((), (), (), ())
    batch = found.read(ms(*watch_ms), ms(*duration_ms), np.array(foreground, np.int8), surface)
    assert batch.llr.shape == (len(rows), 2)
    for place, row in enumerate(rows):
        alone = read(found, *row)
        for name in ("quantile", "flag", "cell", "surface_cell", "llr"):
            np.testing.assert_array_equal(getattr(batch, name)[place], getattr(alone, name)[0])
        quantile = batch.quantile[place]
        assert np.isnan(quantile) if row[0] < 0 else 0.0 <= quantile <= 1.0


@given(st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_a_surface_has_one_of_sixteen_places(surface: str) -> None:
    assert 0 <= surface_place(surface) < SURFACES

"""Watch evidence against its formulas."""

import numpy as np
import pytest

from trainer.evidence import NO_CELL, Flag, WatchEvidence, flags_of, long_views


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("watch_ms", "duration_ms", "flag"),
    [
        (16_000, 10_000, Flag.LOOP),
        (15_000, 10_000, Flag.COMPLETE),
        (9_500, 10_000, Flag.COMPLETE),
        (9_499, 10_000, Flag.NONE),
        (999, 10_000, Flag.SWIPE),
        (1_999, 100_000, Flag.SWIPE),
        (2_000, 100_000, Flag.NONE),
        (5_000, 0, Flag.NONE),
        (500, -1, Flag.SWIPE),
    ],
)
def test_flags(watch_ms: int, duration_ms: int, flag: Flag) -> None:
    assert flags_of(ints(watch_ms), ints(duration_ms))[0] == flag


def test_a_long_view_is_the_whole_video_or_18_seconds() -> None:
    watched, duration = ints(18_000, 17_999, 9_000, 8_999), ints(60_000, 60_000, 9_000, 9_000)
    assert long_views(watched, duration).tolist() == [True, False, True, False]


def test_the_quantile_is_the_share_that_watched_less_within_the_duration_bucket() -> None:
    evidence, front = WatchEvidence(), np.ones(100, np.int8)
    watch, duration = np.full(100, 1_000, np.int32), np.full(100, 30_000, np.int32)
    watch[80:] = 20_000
    evidence.count(watch, duration, np.zeros(100, np.int16), np.full(100, -1, np.int8))
    read = evidence.read(ints(1_000, 20_000, 5_000, 5_000), ints(30_000, 30_000, 30_000, 100_000), front[:4])
    assert read.quantile.tolist() == pytest.approx(
        [0.4, 0.9, 0.8, 0.5]
    )  # half of the own bin; an empty bucket knows nothing


def test_reading_changes_nothing() -> None:
    evidence = WatchEvidence()
    before = {name: array.copy() for name, array in evidence.state().items()}
    evidence.read(ints(5_000), ints(9_000), np.ones(1, np.int8))
    assert all((before[name] == array).all() for name, array in evidence.state().items())


def test_llr_is_the_smoothed_log_odds_of_the_cell_over_the_global_rate() -> None:
    evidence, n = WatchEvidence(), 1_000
    cell = np.repeat(np.array([0, 39], np.int16), n // 2)
    labels = np.full(n, -1, np.int8)
    labels[n // 2 : n // 2 + 100] = 1  # a fifth of cell 39
    evidence.count(np.full(n, 5_000, np.int32), np.full(n, 9_000, np.int32), cell, labels)
    fade = 1.0  # both counts fade alike, before they are added: the first batch does not fade
    g = (100 * fade + 0.4) / (1_000 * fade + 20)
    r_q = (100 + 200 * g) / (500 + 200)
    r_c = (100 + 200 * r_q) / (500 + 200)
    expected = np.log(r_c / (1 - r_c)) - np.log(g / (1 - g))
    assert evidence.log_likelihood_ratios()[9, 3] == pytest.approx(expected)


def test_background_views_and_actions_without_a_view_say_nothing() -> None:
    read = WatchEvidence().read(ints(5_000, -1), ints(9_000, 9_000), np.array([0, -1], np.int8))
    assert read.cell.tolist() == [NO_CELL, NO_CELL]
    assert read.llr.tolist() == [0.0, 0.0]
    assert np.isnan(read.quantile[1])

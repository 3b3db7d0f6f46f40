"""What is learned of watches, against its formulas. How one watch is read is tested in tests/contract/test_watch.py."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.strategies  # noqa: F401  registers the profile
from contract.watch import (
    DECILES,
    DURATION_BUCKETS,
    NO_CELL,
    WATCH_BINS,
    Evidence,
    Flag,
    duration_buckets,
    surface_place,
    watch_bins,
)
from trainer.evidence import CELL_HALF_LIFE, HISTOGRAM_HALF_LIFE, WatchEvidence
from trainer.labels import POSITIVE, UNLABELLED

Floats = npt.NDArray[np.float64]
FEED = surface_place("feed")


class Watches:
    """Drawn watches: some without a watch, in the background, or not to be counted."""

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.duration_ms = rng.choice([0, 9_000, 30_000, 200_000], size).astype(np.int32)
        self.watch_ms = np.where(rng.random(size) < 0.1, -1, rng.exponential(15_000, size)).astype(np.int32)
        self.foreground = rng.choice([-1, 0, 1], size, p=[0.1, 0.1, 0.8]).astype(np.int8)
        self.surface = rng.choice(["feed", "search", "profile"], size).tolist()
        self.label = rng.choice([POSITIVE, 0, UNLABELLED], size, p=[0.2, 0.1, 0.7]).astype(np.int8)
        self.weight = rng.choice([0.0, 0.25, 1.0], size, p=[0.1, 0.2, 0.7])

    def read(self, by: WatchEvidence) -> Evidence:
        return by.tables().read(self.watch_ms, self.duration_ms, self.foreground, self.surface)

    def count(self, into: WatchEvidence, label: npt.NDArray[np.int8] | None = None) -> Evidence:
        evidence = self.read(into)
        into.count(evidence, self.label if label is None else label, self.weight)
        return evidence


def logit(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))


def bits(evidence: WatchEvidence) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in evidence.state().items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_tables_equal_the_formulas_cell_by_cell(seed: int) -> None:
    evidence, watches = WatchEvidence(), Watches(400, seed)
    read = watches.count(evidence)
    told = (read.cell != NO_CELL) & (watches.weight > 0)

    def counted(where: npt.NDArray[np.bool_]) -> tuple[float, float]:
        rows = np.flatnonzero(told & where)
        return sum(watches.weight[rows]), sum(watches.weight[rows[watches.label[rows] == POSITIVE]])

    everywhere = np.ones(400, np.bool_)
    n, p = counted(everywhere)
    g = (p + 0.4) / (n + 20)
    tables = evidence.tables()
    for decile in range(DECILES):
        n_q, p_q = counted(read.cell // len(Flag) == decile)
        r_q = (p_q + 200 * g) / (n_q + 200)
        for flag in Flag:
            n_c, p_c = counted(read.cell == decile * len(Flag) + flag)
            r_c = (p_c + 200 * r_q) / (n_c + 200)
            assert tables.cell_llr[decile * len(Flag) + flag] == pytest.approx(logit(r_c) - logit(g))
        n_s, p_s = counted(read.surface_cell == FEED * DECILES + decile)
        r_s = (p_s + 100 * g) / (n_s + 100)
        assert tables.surface_llr[FEED * DECILES + decile] == pytest.approx(logit(r_s) - logit(g))


def test_the_histogram_counts_every_watch_in_its_bucket_and_bin() -> None:
    evidence, watches = WatchEvidence(), Watches(300, 1)
    watches.count(evidence)
    expected = np.zeros((DURATION_BUCKETS, WATCH_BINS))
    for watch, duration in zip(watches.watch_ms, watches.duration_ms, strict=True):
        if watch >= 0:
            pair = np.array([watch], np.int32), np.array([duration], np.int32)
            expected[duration_buckets(pair[1])[0], watch_bins(*pair)[0]] += 1
    np.testing.assert_array_equal(evidence.tables().histogram, expected)


def test_nothing_leaks_from_a_batch_into_its_own_evidence() -> None:
    """Whatever was said in it; and reading alone changes nothing."""
    one, two, watches = WatchEvidence(), WatchEvidence(), Watches(200, 2)
    for evidence in (one, two):
        Watches(200, 3).count(evidence)
    before = bits(one)
    watches.read(one)
    assert bits(one) == before
    first, second = watches.count(one), watches.count(two, np.full(200, POSITIVE, np.int8))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name), err_msg=name)
    assert bits(one) != bits(two)


def test_an_untaught_table_says_nothing() -> None:
    tables = WatchEvidence().tables()
    assert not tables.cell_llr.any()
    assert not tables.surface_llr.any()
    assert WatchEvidence().positive_rate == pytest.approx(0.4 / 20)


def test_events_that_do_not_count_change_no_rate() -> None:
    """Their watch is still a watch: it goes into the histogram that all are compared with."""
    evidence, watches = WatchEvidence(), Watches(200, 4)
    watches.weight[:] = 0.0
    watches.count(evidence)
    assert not evidence.tables().cell_llr.any()
    assert evidence.positive_rate == pytest.approx(0.4 / 20)
    assert evidence.tables().histogram.sum() == (watches.watch_ms >= 0).sum()


def test_the_positive_rate_is_over_events_with_a_watch_or_without() -> None:
    evidence, watches = WatchEvidence(), Watches(300, 5)
    watches.count(evidence)
    positives = watches.weight[watches.label == POSITIVE].sum()
    assert evidence.positive_rate == pytest.approx((positives + 0.4) / (watches.weight.sum() + 20))


def test_what_is_past_fades_by_half_in_a_half_life() -> None:
    evidence, watches = WatchEvidence(), Watches(500, 6)
    watches.weight[:] = 1.0
    watches.count(evidence)
    before = {name: value.copy() for name, value in evidence.state().items()}
    more = Watches(HISTOGRAM_HALF_LIFE, 7)
    more.watch_ms[:], more.weight[:] = 5_000, 0.0
    more.duration_ms[:], more.foreground[:] = 9_000, 1
    more.count(evidence)
    other = duration_buckets(np.array([30_000], np.int32))[0]
    np.testing.assert_allclose(evidence.tables().histogram[other], before["histogram"][other] / 2)
    np.testing.assert_array_equal(evidence.state()["cells"], before["cells"])
    more.weight[:], more.label[:] = 1.0, UNLABELLED
    more.count(evidence)
    fade = 0.5 ** (HISTOGRAM_HALF_LIFE / CELL_HALF_LIFE)
    np.testing.assert_allclose(evidence.state()["cells"][1], before["cells"][1] * fade)
    np.testing.assert_allclose(evidence.state()["surfaces"][1], before["surfaces"][1] * fade)
    assert evidence.state()["all"][1] == pytest.approx(before["all"][1] * fade)


@given(st.integers(0, 9_999))
def test_a_restored_evidence_goes_on_bitwise(seed: int) -> None:
    first, second = WatchEvidence(), WatchEvidence()
    Watches(50, seed).count(first)
    second.restore(first.state())
    for evidence in (first, second):
        Watches(50, seed + 1).count(evidence)
    assert bits(first) == bits(second)


def test_a_kind_of_watch_that_comes_with_likes_is_told_from_one_that_does_not() -> None:
    """Half of the watches end in a swipe and are never liked; of the others, a fifth is."""
    rng, evidence = np.random.default_rng(8), WatchEvidence()
    for _ in range(20):
        watches = Watches(500, 0)
        swiped = rng.random(500) < 0.5
        watches.watch_ms[:] = np.where(swiped, 300, 20_000)
        watches.duration_ms[:], watches.foreground[:], watches.weight[:] = 30_000, 1, 1.0
        watches.label[:] = np.where(~swiped & (rng.random(500) < 0.2), POSITIVE, UNLABELLED)
        read = watches.count(evidence)
    assert read.llr[swiped, 0].max() < -2.0
    assert read.llr[~swiped, 0].min() == pytest.approx(logit(0.2) - logit(0.1), abs=0.15)

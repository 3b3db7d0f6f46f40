"""What each protocol shows the learner, and what it measures against."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.denoising.counts_and_cell import counts_and_cell, sigmoid
from benchmarks.denoising.labels import hidden_half, kept, mixed, silenced
from benchmarks.denoising.noise_dial import Dial, Kind, make_stream
from benchmarks.denoising.sources import Sources, watch_log, window
from benchmarks.denoising.watch_quantiles import watch_quantiles
from contract.errors import DataError
from contract.events import Action
from trainer.metrics_math import auc
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator

DATA = Path("../shared/data")
NO_LOG = pytest.mark.skipif(
    not (DATA / "kuairand").exists(), reason=f"the KuaiRand log is not under {DATA}; kuairand.com has it"
)
KEYS = np.random.default_rng(0).integers(2, 2**63, 20_000).astype(np.uint64)


def test_kept_labels_are_a_share_nested_in_larger_shares_and_another_with_each_seed() -> None:
    small, large, other = kept(KEYS, 0.05, 1), kept(KEYS, 0.2, 1), kept(KEYS, 0.2, 2)
    assert small.mean() == pytest.approx(0.05, abs=0.01)
    assert large[small].all()
    assert (large & other).mean() == pytest.approx(0.04, abs=0.01)
    assert kept(KEYS, 1.0, 1).all()


def test_mixed_keys_do_not_repeat() -> None:
    assert len(np.unique(mixed(KEYS, 3))) == len(np.unique(KEYS))


def test_half_of_the_positives_is_hidden_another_half_with_each_seed() -> None:
    events = Simulator(SimulatorConfig(like_rate=0.2), 1).next_block(4_000).events
    one, other = hidden_half(events, 1), hidden_half(events, 2)
    said = events.actions != 0
    assert one[said].mean() == pytest.approx(0.5, abs=0.1)
    assert not one[~said].any()
    assert (one != other).any()
    assert not silenced(events, one).actions[one].any()


@pytest.mark.parametrize("kind", ["both", "positive-only", "negative-only"])
def test_the_watch_lies_as_often_as_the_dial_says(kind: Kind) -> None:
    made = make_stream(Dial(kind, 0.3, 0.5, 0.1, events=6_000), seed=1)
    lies = made.relevant != made.looks_relevant
    expected = {"both": (0.3, 0.3), "positive-only": (0.3, 0.0), "negative-only": (0.0, 0.3)}[kind]
    assert (lies[made.relevant].mean(), lies[~made.relevant].mean()) == pytest.approx(expected, abs=0.03)
    long = made.events.watch_ms >= 0.6 * made.events.duration_ms
    assert (long == made.looks_relevant).mean() == pytest.approx(0.95, abs=0.02)  # one in ten is of any length


def test_explicit_words_are_true_and_as_rare_as_the_dial_says() -> None:
    made = make_stream(Dial("both", 0.45, 0.5, 0.2, events=4_000), seed=2)
    said = made.events.actions != 0
    assert said.mean() == pytest.approx(0.2, abs=0.03)
    np.testing.assert_array_equal((made.events.actions == Action.LIKE.bit)[said], made.relevant[said])


def test_the_same_watch_means_opposite_things_on_the_two_surfaces() -> None:
    made = make_stream(Dial("by-surface", 0.15, 0.5, 0.2, events=6_000), seed=1)
    autoplay = made.events.surface == "autoplay"
    assert autoplay.mean() == pytest.approx(0.4, abs=0.03)
    agree = made.relevant == made.looks_relevant
    assert agree[autoplay].mean() == pytest.approx(0.15, abs=0.03)
    assert agree[~autoplay].mean() == pytest.approx(0.85, abs=0.03)


def test_counts_and_cell_reads_earlier_events_only() -> None:
    random = np.random.default_rng(3)
    user, item = random.integers(0, 20, 500), random.integers(0, 30, 500)
    quantile, positive = random.random(500), random.random(500) < 0.1
    later_changed = positive.copy()
    later_changed[250:] ^= True
    one, other = (counts_and_cell(user, item, quantile, said) for said in (positive, later_changed))
    np.testing.assert_array_equal(one[:251], other[:251])
    assert (one[251:] != other[251:]).any()


def test_counts_and_cell_is_the_sum_of_three_smoothed_log_odds() -> None:
    user, item, quantile = np.array([1, 1, 2, 1]), np.array([5, 6, 5, 5]), np.array([0.11, 0.95, 0.15, 0.99])
    found = counts_and_cell(user, item, quantile, np.array([True, False, False, False]))[3]
    g = 1.4 / 23.0
    of_user, of_item, of_decile = ((p + 20 * g) / (n + 20) for p, n in ((1, 2), (1, 2), (0, 1)))
    logit = [np.log(rate / (1 - rate)) for rate in (of_user, of_item, of_decile, g)]
    assert found == pytest.approx(sum(logit[:3]) - 2 * logit[3])
    assert sigmoid(np.array([0.0]))[0] == 0.5


def test_a_longer_watch_of_a_like_video_has_a_greater_quantile() -> None:
    watch, duration = np.tile(np.arange(1, 41, dtype=np.int32) * 500, 40), np.full(1_600, 20_000, np.int32)
    quantile = watch_quantiles(watch, duration)
    assert quantile[:256].tolist() == [0.5] * 256  # nothing was counted before
    assert auc(quantile[800:], watch[800:] > 10_000) > 0.99  # a bin holds watches of 5 and of 6 tenths
    assert watch_quantiles(np.array([-1], np.int32), np.array([9], np.int32)).tolist() == [0.5]


def test_a_missing_data_set_says_where_it_is_found(tmp_path: Path) -> None:
    nowhere = Sources(tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"kuairand\.com"):
        nowhere.fingerprint("stream")
    with pytest.raises(DataError, match=r"grouplens\.org"):
        nowhere.fingerprint("split")
    assert nowhere.fingerprint("dial")


@NO_LOG
def test_tuning_never_sees_the_window_that_is_reported() -> None:
    sources = Sources(DATA / "kuairand", DATA / "ml-1m", quick=True)
    whole = watch_log(sources)
    tuned, tuned_measured = window(whole, sources, tuning=True)
    played, measured = window(whole, sources, tuning=False)
    assert tuned.events.at_ms.max() < sources.report_from_ms <= played.events.at_ms[measured].min()
    assert tuned_measured.all()
    assert len(played) == len(whole) == len(tuned) + measured.sum()

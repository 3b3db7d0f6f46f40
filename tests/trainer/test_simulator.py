"""The simulated app against the figures it was told to have, and the disorder it was told to make."""

from dataclasses import replace
from math import sqrt
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from contract.blocks import encode_block
from contract.errors import SetupError
from contract.events import Action
from trainer.datasets import read_kuairand, write_csv
from trainer.log_block import LogBlock
from trainer.metrics_math import auc
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator

ORDERLY = SimulatorConfig(duplicate_share=0.0, late_share=0.0, out_of_order_share=0.0)
SMALL = replace(ORDERLY, users=40, items=30)


@pytest.fixture(scope="module")
def block() -> LogBlock:
    return Simulator(ORDERLY, seed=7).next_block(200_000)


def said(block: LogBlock, action: Action) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (block.events.actions & action.bit) > 0


def watched_share(block: LogBlock) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Watch over duration, nan where the duration is unknown."""
    duration = np.where(block.events.duration_ms > 0, block.events.duration_ms, np.nan)
    return block.events.watch_ms / duration


def test_frequent_rates_come_out_as_configured(block: LogBlock) -> None:
    assert block.long_view.mean() == pytest.approx(0.33, rel=0.15)
    assert said(block, Action.LIKE).mean() == pytest.approx(0.0185, rel=0.15)
    assert block.truth.mean() == pytest.approx(0.25, rel=0.15)


@pytest.mark.parametrize(
    ("action", "rate"),
    [(Action.FOLLOW, 0.00107), (Action.SHARE, 0.00096), (Action.COMMENT, 0.0023), (Action.DISLIKE, 0.00049)],
)
def test_rare_rates_lie_in_a_binomial_interval(block: LogBlock, action: Action, rate: float) -> None:
    spread = sqrt(rate * (1 - rate) / len(block))
    assert said(block, action).mean() == pytest.approx(rate, abs=3 * spread + 0.05 * rate)


def test_durations_have_the_median_of_the_real_app_and_some_are_unknown(block: LogBlock) -> None:
    duration_ms = block.events.duration_ms
    assert 32_000 < np.median(duration_ms[duration_ms > 0]) < 80_000
    assert (duration_ms == 0).mean() == pytest.approx(0.016, rel=0.15)


def test_watches_show_all_their_kinds(block: LogBlock) -> None:
    share = watched_share(block)
    shortest = (block.events.duration_ms > 0) & (block.events.duration_ms < 15_000)
    assert 0.10 < (block.events.watch_ms < 1_000).mean() < 0.20  # swipes; 15 % in the real log
    assert 0.12 < (share >= 0.95).mean() < 0.24  # to the end; 17 %
    assert 0.01 < (share > 1.5).mean() < 0.05  # loops; 2 %
    assert (share[shortest] > 1.5).mean() > 2 * np.nanmean(share > 1.5)
    assert np.nanmax(share) > 20  # the phone on the table


def test_explicit_feedback_is_as_noisy_as_in_the_real_log(block: LogBlock) -> None:
    liked, disliked = said(block, Action.LIKE), said(block, Action.DISLIKE)
    assert 0.15 < (watched_share(block)[liked] < 0.2).mean() < 0.30  # 25 %
    assert 0.55 < block.long_view[liked].mean() < 0.75  # 63 %
    assert 0.08 < block.long_view[disliked].mean() < 0.40  # 22 % of 65


def test_truth_tells_likes_better_than_the_watch_tells_truth(block: LogBlock) -> None:
    relevant = block.truth > 0.5
    assert 0.70 < auc(block.truth, said(block, Action.LIKE)) < 0.85
    assert 0.55 < auc(block.events.watch_ms.astype(np.float64), relevant) < 0.75


def test_swipes_grow_with_the_place_in_the_session() -> None:
    block = Simulator(replace(ORDERLY, position_bias=0.05), seed=1).next_block(20_000)
    swiped, position = block.events.watch_ms < 1_000, block.events.position
    assert set(position.tolist()) == set(range(10))
    assert swiped[position == 9].mean() > swiped[position == 0].mean() + 0.3  # 9 places x 0.05, less the overlap


def test_a_viewer_goes_through_the_places_of_a_session_in_turn() -> None:
    events = Simulator(replace(SMALL, session_length=4), seed=1).next_block(1_000).events
    for user in ("u0", "u1", "u2"):
        position = events.position[events.user_id == user]
        assert position.tolist() == [place % 4 for place in range(len(position))]


def test_one_seed_gives_one_stream_in_whatever_blocks() -> None:
    config = SimulatorConfig()
    whole = Simulator(config, seed=3).next_block(3_000)
    parts = Simulator(config, seed=3)
    pieces = LogBlock.concatenate([parts.next_block(size) for size in (1, 999, 500, 1_500)])
    assert encode_block(pieces.events) == encode_block(whole.events)
    assert encode_block(Simulator(config, seed=4).next_block(3_000).events) != encode_block(whole.events)


def test_an_orderly_stream_has_rising_times_and_distinct_events() -> None:
    events = Simulator(replace(ORDERLY, mean_gap_ms=1.0), seed=2).next_block(5_000).events
    assert (np.diff(events.at_ms) > 0).all()
    assert len(np.unique(events.event_key)) == len(events)


def test_a_duplicate_repeats_the_whole_event_under_its_id() -> None:
    block = Simulator(replace(ORDERLY, duplicate_share=0.2), seed=2).next_block(5_000)
    _, first, count = np.unique(block.events.event_key, return_index=True, return_counts=True)
    assert (len(block) - len(first)) / len(first) == pytest.approx(0.2, rel=0.15)
    for place in first[count > 1][:20].tolist():
        same = np.flatnonzero(block.events.event_key == block.events.event_key[place])
        rows = {encode_block(block.events.take(same[[row]])) for row in range(len(same))}
        assert len(rows) == 1


def test_late_events_come_minutes_after_their_time() -> None:
    events = Simulator(replace(ORDERLY, late_share=0.1, mean_gap_ms=1_000.0), seed=2).next_block(20_000).events
    behind_ms = np.maximum.accumulate(events.at_ms) - events.at_ms
    assert (behind_ms > 60_000).mean() == pytest.approx(0.1 * np.exp(-0.1), rel=0.2)  # exponential, mean 10 minutes


def test_events_out_of_order_are_late_by_seconds_only() -> None:
    events = Simulator(replace(ORDERLY, out_of_order_share=0.3), seed=2).next_block(5_000).events
    behind_ms = np.maximum.accumulate(events.at_ms) - events.at_ms
    assert 0.2 < (behind_ms > 0).mean() < 0.3
    assert behind_ms.max() <= 30 * 20.0


def test_the_policy_is_asked_for_all_but_the_random_exposures() -> None:
    asked: list[tuple[str, str]] = []

    def last(user_id: str, candidates: list[str]) -> int:
        assert len(candidates) == len(set(candidates)) <= 10
        asked.append((user_id, candidates[-1]))
        return len(candidates) - 1

    block = Simulator(replace(ORDERLY, random_share=0.2), seed=5, choose=last).next_block(1_280)
    by_policy = block.take(block.is_random == 0).events
    assert asked == list(zip(by_policy.user_id.tolist(), by_policy.item_id.tolist(), strict=True))
    assert block.is_random.mean() == pytest.approx(0.2, abs=3 * sqrt(0.2 * 0.8 / 1_280))


def test_a_policy_that_knows_nothing_shows_less_relevant_items() -> None:
    built_in = Simulator(ORDERLY, seed=5).next_block(10_000)
    knowing_nothing = Simulator(ORDERLY, seed=5, choose=lambda user_id, candidates: 0).next_block(10_000)
    assert knowing_nothing.truth.mean() < 0.8 * built_in.truth.mean()
    assert said(knowing_nothing, Action.LIKE).mean() < said(built_in, Action.LIKE).mean()


@pytest.mark.parametrize(("drift", "stays"), [(0.0, True), (5.0, False)])
def test_truth_of_a_pair_moves_only_if_interests_drift(drift: float, stays: bool) -> None:
    block = Simulator(replace(SMALL, drift=drift, new_item_share=0.0), seed=6).next_block(20_000)
    pair = block.events.user_key ^ block.events.item_key
    common = pair == np.unique(pair)[np.unique(pair, return_counts=True)[1].argmax()]
    assert (np.ptp(block.truth[common]) == 0.0) == stays


def test_drift_changes_tastes_but_not_how_strong_they_are() -> None:
    truth = Simulator(replace(ORDERLY, drift=20.0), seed=6).next_block(50_000).truth
    assert truth[-5_000:].std() == pytest.approx(truth[:5_000].std(), rel=0.1)
    assert truth[-5_000:].mean() == pytest.approx(truth[:5_000].mean(), rel=0.15)


def test_new_items_take_the_place_of_old_ones() -> None:
    events = Simulator(replace(SMALL, new_item_share=0.05), seed=6).next_block(4_000).events
    serials = [int(item.removeprefix("v")) for item in events.item_id.tolist()]
    assert max(serials[:100]) < 30 + 15
    assert max(serials) == pytest.approx(30 + 0.05 * 4_000, rel=0.25)
    assert min(serials[-500:]) > 5


def test_a_simulated_log_reads_back_identical(tmp_path: Path) -> None:
    blocks = list(Simulator(SimulatorConfig(late_share=0.05), seed=8).blocks(6_000, block_events=1_000))
    written = LogBlock.concatenate(blocks)
    assert [len(block) for block in blocks] == [1_000] * 6
    assert write_csv(tmp_path / "log.csv.gz", blocks) == 6_000
    log = read_kuairand([tmp_path / "log.csv.gz"])
    read = LogBlock.concatenate(list(log))
    assert encode_block(read.events) == encode_block(written.events)
    for name in ("long_view", "is_random", "truth"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert not log.report.refused


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"users": 0}, "users is 0; it must be from 1"),
        ({"random_share": 1.5}, r"random_share is 1\.5; it must be from 0 to 1"),
        ({"drift": -1.0}, "drift -1"),
    ],
)
def test_an_impossible_world_is_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(SetupError, match=message):
        replace(SimulatorConfig(), **setting)  # type: ignore[arg-type]


def test_a_tiny_world_runs() -> None:
    config = SimulatorConfig(users=1, items=1, slate_size=1, session_length=1, new_item_share=1.0)
    assert len(Simulator(config, seed=0).next_block(500)) == 500


def test_the_built_in_policy_makes_tens_of_thousands_of_events_a_second() -> None:
    simulator = Simulator(SimulatorConfig(), seed=0)
    started = perf_counter()
    simulator.next_block(20_000)
    assert perf_counter() - started < 1.0  # about 0.13 s

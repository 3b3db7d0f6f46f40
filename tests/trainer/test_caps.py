"""Caps: one user moves the model so far and no further, and nobody is capped for another's sake (P10)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from contract.event_log import EventLog
from contract.events import Action, Events, FeedbackEvent
from tests.trainer.conftest import MakeWorker, send, some_events
from tests.trainer.test_worker import weights
from trainer.caps import DAY_MS, HOUR_MS, NO_CAPS, Allowance, Caps, pair_keys
from trainer.labels import UNLABELLED
from trainer.settings import CapSettings


def likes(count: int, user: str = "flood", item: str = "v1", prefix: str = "f") -> Events:
    """Return likes of one user for one item."""
    return Events.from_models(
        [
            FeedbackEvent(
                event_id=f"{prefix}{n}", user_id=user, item_id=item, at=1_650_000_000_000 + n, actions=[Action.LIKE]
            )
            for n in range(count)
        ]
    )


def test_a_pair_speaks_three_times_a_day_and_is_watched_twenty_times_an_hour() -> None:
    caps, said = Caps(CapSettings()), likes(30)
    unsaid = replace(said, actions=np.zeros(30, np.uint8))
    assert (~caps.over(said, np.full(30, HOUR_MS))).sum() == 3
    assert (~caps.over(unsaid, np.full(30, HOUR_MS))).sum() == 0  # what was said counts as an event, too
    assert (~caps.over(unsaid, np.full(30, 2 * HOUR_MS))).sum() == 20
    assert (~caps.over(said, np.full(30, 3 * HOUR_MS))).sum() == 0  # the day is not over
    assert (~caps.over(said, np.full(30, HOUR_MS + DAY_MS))).sum() == 3


def test_a_user_is_learned_from_two_thousand_times_an_hour_whatever_the_items() -> None:
    caps, events = Caps(CapSettings()), some_events(2_500)
    alone = replace(events, user_key=np.full(2_500, 77, np.uint64), item_key=np.arange(100, 2_600, dtype=np.uint64))
    silent = replace(alone, actions=np.zeros(2_500, np.uint8))
    assert np.flatnonzero(caps.over(silent, np.full(2_500, HOUR_MS))).tolist() == list(range(2_000, 2_500))


def test_a_cap_of_zero_is_none() -> None:
    assert not Caps(NO_CAPS).over(likes(5_000), np.zeros(5_000, np.int64)).any()


def test_no_flood_of_ids_caps_anybody_and_one_who_comes_often_stays_counted() -> None:
    allowance, random = Allowance(20, HOUR_MS, 4_096), np.random.default_rng(1)
    keys = random.integers(2, 2**64, 300_000, np.uint64)
    keys[::100] = 12_345  # 3,000 times among 297,000 that come once
    over = allowance.over(keys, np.arange(300_000, dtype=np.int64))
    assert not over[keys != 12_345].any()
    assert (~over[keys == 12_345]).sum() <= 60  # it may lose its place while it has few events


def test_a_table_from_a_checkpoint_goes_on_as_the_one_it_was_made_from() -> None:
    random = np.random.default_rng(3)
    steady = Allowance(3, 1_000, 64)
    restored = Allowance(3, 1_000, 64)
    for start in range(0, 20_000, 50):
        keys = random.zipf(1.3, 50).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        now_ms = start + random.integers(-40, 40, 50)  # the log's clock may be set back
        assert (steady.over(keys, now_ms) == restored.over(keys, now_ms)).all()
        again = Allowance(3, 1_000, 64)
        again.restore({name: np.array(part) for name, part in restored.state().items()})
        restored = again


def test_a_state_of_another_size_or_of_before_caps_begins_anew() -> None:
    small, large = Allowance(3, HOUR_MS, 64), Allowance(3, HOUR_MS, 1_024)
    keys = np.full(5, 9, np.uint64)
    small.over(keys, np.zeros(5, np.int64))
    large.restore(small.state())
    large.restore({})
    assert large.over(keys, np.zeros(5, np.int64)).sum() == 2


def test_pairs_have_keys_of_their_own() -> None:
    users, items = np.arange(2, 1_002, dtype=np.uint64), np.arange(2, 1_002, dtype=np.uint64)
    user, item = (side.reshape(-1) for side in np.meshgrid(users, items))
    assert len(np.unique(pair_keys(user, item))) == 1_000_000


def test_what_is_over_a_cap_changes_nothing_and_is_in_the_label_log(
    new_worker: MakeWorker, log_url: str, home: Path, tmp_path: Path
) -> None:
    log, honest = EventLog(log_url), some_events(400)
    send(log, honest)
    send(log, likes(3))
    steady = new_worker(home=tmp_path / "steady")
    while steady.account.trained < 403:
        steady.advance()
    flooded = new_worker()
    send(log, likes(200, prefix="more"))
    flooded.drain()
    assert weights(flooded) == weights(steady)
    assert (flooded.account.trained, flooded.account.capped) == (603, 200)
    rows = pq.read_table(home / "labels").to_pydict()
    assert len(set(rows["event_id"])) == 603
    capped = [event for event, over in zip(rows["event_id"], rows["capped"], strict=True) if over]
    assert set(capped) == {f"more{n}" for n in range(200)}
    assert all(target is None for target, over in zip(rows["target"], rows["capped"], strict=True) if over)


def test_what_is_over_a_cap_neither_gets_rows_nor_judges(new_worker: MakeWorker, log_url: str) -> None:
    worker = new_worker(cap_user_events=10, holdout_share=0.5)
    flood = some_events(300)
    send(EventLog(log_url), replace(flood, user_key=np.full(300, 2**60, np.uint64)))
    worker.drain()
    assert worker.account.capped == 290
    assert worker.learner.items.known_ids <= 10
    assert len(worker.learner.holdout.held) + len(worker.learner.queue.everything()) <= 10
    assert int((worker.learner.queue.everything().label != UNLABELLED).sum()) <= 10


def test_what_is_over_a_cap_is_the_same_after_crashes(new_worker: MakeWorker, log_url: str, tmp_path: Path) -> None:
    log = EventLog(log_url)
    for part in range(6):
        send(log, some_events(100, seed=part, prefix=f"h{part}-"))
        send(log, likes(40, user=f"u{part % 2}", prefix=f"l{part}-"))
    changes = {"cap_user_events": 8, "cap_pair_words": 2, "batch_events": 37}
    steady = new_worker(home=tmp_path / "steady", **changes)
    while steady.account.trained < 840:
        steady.advance()
    crashing = new_worker(read_entries=2, **changes)
    for goal in (200, 400, 600, 840):
        while crashing.account.trained < goal:
            crashing.advance()
        if goal != 400:
            crashing.checkpoint()
        crashing = new_worker(read_entries=2, **changes)
    assert weights(crashing) == weights(steady)
    assert crashing.account.capped == steady.account.capped > 300

"""The loop on a real log: every acknowledged event once, whatever happens."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from contract.blocks import decode_block
from contract.dead_letters import DeadLetters, Reason
from contract.errors import CheckpointError
from contract.event_log import EventLog
from contract.registry import Registry
from tests.trainer.conftest import MakeWorker, send, some_events
from trainer.worker import Worker


def weights(worker: Worker) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in worker.learner.state().items()}


def test_every_event_is_trained_once_and_the_account_adds_up(new_worker: MakeWorker, log_url: str) -> None:
    worker = new_worker()
    send(EventLog(log_url), some_events(1_000))
    worker.drain()
    assert worker.account.trained == 1_000
    assert worker.account.read == worker.learner.stepped == 1_000
    assert worker.log.lag(worker.position).entries == 0


def test_a_retried_event_never_trains_twice(new_worker: MakeWorker, log_url: str) -> None:
    worker, log, events = new_worker(batch_events=32), EventLog(log_url), some_events(300)
    send(log, events)
    send(log, events.take(slice(0, 120)))
    worker.drain()
    assert (worker.account.trained, worker.account.duplicates) == (300, 120)


def test_weights_after_crashes_equal_weights_without(new_worker: MakeWorker, log_url: str, tmp_path: Path) -> None:
    send(EventLog(log_url), some_events(900))
    steady = new_worker(home=tmp_path / "steady", read_entries=100_000, batch_events=37)
    while steady.account.trained < 900:  # reads all at once, and leaves the log untrimmed
        steady.advance()
    crashing = new_worker(read_entries=2, batch_events=37)
    for goal in (200, 400, 600):
        while crashing.account.trained < goal:
            crashing.advance()
        if goal != 400:
            crashing.checkpoint()  # at 400 the process dies with nothing written since 200
        crashing = new_worker(read_entries=2, batch_events=37)
    while crashing.account.trained < 900:
        crashing.advance()
    assert weights(crashing) == weights(steady)


def test_the_label_log_holds_each_event_exactly_once_over_a_crash(
    new_worker: MakeWorker, log_url: str, home: Path
) -> None:
    log, worker = EventLog(log_url), new_worker()
    send(log, some_events(200, prefix="a"))
    worker.drain()
    send(log, some_events(200, prefix="b"))
    while worker.account.trained < 400:
        worker.advance()
    worker.labels.write(worker.checkpoint_number + 1)  # and then the process dies, before its checkpoint
    new_worker().drain()
    rows = pq.read_table(home / "labels")
    assert len(rows) == 400
    assert len(set(rows["event_id"].to_pylist())) == 400


def test_an_entry_that_cannot_be_decoded_is_put_aside_and_the_rest_trained(
    new_worker: MakeWorker, log_url: str
) -> None:
    log, worker = EventLog(log_url), new_worker()
    log.append({3: (7, b"WNW1 this is no block")})
    send(log, some_events(100))
    worker.drain()
    assert (worker.account.trained, worker.account.dead) == (100, 7)
    (letter,) = DeadLetters(log).all()
    assert letter.source.startswith("3/")
    assert (letter.events, letter.reason) == (7, Reason.UNSOUND)


def test_a_window_is_learned_in_whole_batches_however_it_is_stored(
    new_worker: MakeWorker, log_url: str, home: Path
) -> None:
    log, events = EventLog(log_url), some_events(500)
    send(log, events, batch=9)
    send(log, events.take(slice(100, 300)), batch=50)  # duplicates in between leave no gap
    worker = new_worker(batch_events=64, window_ms=60_000, home=home / "other")
    entries = log.read_after({}, 10_000).entries
    batches = list(worker.reader.batches(entries))
    assert [len(part.events) for part in batches] == [64] * 7 + [52]
    assert [len(part.acknowledged_ms) for part in batches] == [64] * 7 + [52]
    learned = [one for part in batches for one in part.events.event_id.tolist()]
    stored = [one for entry in entries for one in decode_block(entry.block).event_id.tolist()]
    assert learned == list(dict.fromkeys(stored))


def test_a_checkpoint_of_other_settings_is_refused_with_the_remedy(new_worker: MakeWorker, log_url: str) -> None:
    send(EventLog(log_url), some_events(50))
    new_worker().drain()
    with pytest.raises(CheckpointError, match="other learner settings"):
        new_worker(dim=8)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(new_worker: MakeWorker, log_url: str) -> None:
    log, worker = EventLog(log_url), new_worker()
    for part in range(3):
        send(log, some_events(100, seed=part, prefix=f"p{part}-"))
        worker.drain()
    newest = worker.store.files()[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    again = new_worker()
    assert again.account.trained == 200
    again.drain()
    assert weights(again) == weights(worker)


def test_trained_entries_are_trimmed_only_behind_the_oldest_kept_checkpoint(
    new_worker: MakeWorker, log_url: str
) -> None:
    log, worker = EventLog(log_url), new_worker(keep_checkpoints=2)
    for part in range(3):
        send(log, some_events(100, seed=part, prefix=f"p{part}-"))
        worker.drain()
    oldest = worker.store.oldest_position()
    assert log.lag(oldest).entries > 0  # what only the newest checkpoint covers is still there
    assert log.lag(worker.position).entries == 0
    assert log.published() == worker.position


def test_versions_are_published_promoted_and_prove_parity(new_worker: MakeWorker, log_url: str, home: Path) -> None:
    worker = new_worker(gate_min_events=500)
    log, registry = EventLog(log_url), Registry(home / "registry")
    send(log, some_events(300, prefix="a"))
    worker.drain()
    worker.publish()
    assert registry.champion() is None  # held: too few events
    send(log, some_events(1_500, seed=1, prefix="b"))
    worker.drain()
    worker.publish()
    champion = registry.champion()
    assert champion is not None
    manifest = registry.verify(champion.version)
    assert manifest.trained_through.events == 1_800
    assert manifest.metrics["parity_gap"] is not None
    assert manifest.metrics["parity_gap"] <= 1e-5


def test_the_model_learns_what_the_events_say(new_worker: MakeWorker, log_url: str) -> None:
    worker = new_worker()
    send(EventLog(log_url), some_events(6_000))
    worker.drain()
    quality = worker.progressive.quality()
    assert quality.window_auc > 0.65
    assert np.isfinite(quality.window_ece)

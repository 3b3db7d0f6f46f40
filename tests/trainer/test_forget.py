"""Forgetting: after a tombstone is covered nothing on disk names the user, and a crash on the way changes nothing."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from contract.blocks import decode_block, encode_block
from contract.dead_letters import DeadLetter, DeadLetters, Reason
from contract.event_log import EventLog
from contract.events import Action, Events, FeedbackEvent
from contract.hashing import id_key
from contract.registry import Registry
from contract.tables import open_tables
from contract.tombstone import append_tombstone, encode_tombstone, tombstone_in
from tests.trainer.conftest import MakeWorker, send, some_events
from tests.trainer.test_worker import weights
from trainer import loop
from trainer.forget import RECORD_FILE
from trainer.worker import Worker

NAME = "someone-to-forget"
KEY = id_key(NAME)


def of_user(count: int, prefix: str) -> Events:
    """Return views of the user, every third with a like."""
    return Events.from_models(
        [
            FeedbackEvent(
                event_id=f"{prefix}{n}",
                user_id=NAME,
                item_id=f"v{n % 80}",
                at=1_650_000_000_000 + n,
                watch_ms=20_000,
                duration_ms=30_000,
                actions=[Action.LIKE] if n % 3 == 0 else [],
            )
            for n in range(count)
        ]
    )


def holders(home: Path) -> list[str]:
    """Return the files under a home that hold the id or the key of the user, the record apart."""
    return [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if path.is_file()
        and path.name != RECORD_FILE
        and any(found in path.read_bytes() for found in (NAME.encode(), KEY.to_bytes(8, "little")))
    ]


def known(home: Path, worker: Worker) -> bool:
    """Whether the champion knows the user."""
    registry = Registry(home / "registry")
    champion = registry.champion()
    assert champion is not None
    layout = registry.verify(champion.version).layout
    assert layout.base is None
    tables = open_tables(registry.path(champion.version), layout, None)
    return tables.users.find_one(KEY) != tables.users.unknown


def user_rows(home: Path) -> int:
    users: list[str] = pq.read_table(home / "labels", partitioning=None)["user_id"].to_pylist()
    return users.count(NAME)


@pytest.mark.parametrize("backbone", ["gmf", "lightgcn", "sasrec"])
def test_nothing_on_disk_names_a_user_who_was_forgotten(
    new_worker: MakeWorker, log_url: str, home: Path, backbone: str
) -> None:
    log = EventLog(log_url)
    worker = new_worker(backbone=backbone, keep_checkpoints=1, gate_min_events=100, holdout_share=0.1)
    send(log, some_events(2_500))
    send(log, of_user(200, "mine"))
    worker.drain()
    worker.publish()
    assert known(home, worker)
    assert user_rows(home) == 200
    assert len(holders(home)) >= 3  # checkpoint, label log, version
    before = set(holders(home))
    append_tombstone(log, KEY)
    send(log, some_events(100, prefix="later"))
    worker.drain()
    worker.publish()
    assert not known(home, worker)
    assert {name for name in holders(home) if not name.startswith("registry/versions/000001")} == set()
    assert any(name.startswith("registry/versions/000001") for name in before)  # kept for a rollback, and said so
    assert DeadLetters(log).all() == []
    assert (worker.account.read, worker.account.forgotten) == (2_800, 1)
    assert NAME not in (home / RECORD_FILE).read_text()


def test_a_user_who_comes_back_is_a_new_one(new_worker: MakeWorker, log_url: str, home: Path) -> None:
    log, worker = EventLog(log_url), new_worker()
    send(log, some_events(300))
    send(log, of_user(90, "before"))
    append_tombstone(log, KEY)
    send(log, of_user(6, "after"))
    worker.drain()
    row = int(worker.learner.users.rows(np.array([KEY], np.uint64))[0])
    counted = worker.learner.counts.tables["users"][row]
    assert 0 < counted[-1] <= 6.0
    assert user_rows(home) == 6


def test_forgetting_is_the_same_after_crashes(new_worker: MakeWorker, log_url: str, home: Path, tmp_path: Path) -> None:
    log = EventLog(log_url)
    send(log, some_events(300))
    send(log, of_user(60, "mine"))
    steady = new_worker(home=tmp_path / "steady")
    crashing = new_worker()
    for worker in (steady, crashing):
        while worker.account.trained < 360:
            worker.advance()
    crashing.checkpoint()
    append_tombstone(log, KEY)
    send(log, of_user(12, "again"), batch=5)
    send(log, some_events(100, prefix="last"))
    while steady.account.trained < 472:
        steady.advance()
    while crashing.account.trained < 472:
        crashing.advance()
    crashing.forgetting.on_disk()  # and then the process dies, before its checkpoint
    assert user_rows(home) == 0
    crashing = new_worker()
    assert crashing.account.forgotten == 0
    crashing.drain()
    assert weights(crashing) == weights(steady)
    assert user_rows(home) == 12
    assert pq.read_table(home / "labels", partitioning=None).num_rows == 412
    assert len((home / RECORD_FILE).read_text().splitlines()) == 1


def test_a_lone_tombstone_is_checkpointed_until_no_older_checkpoint_is_left(
    new_worker: MakeWorker, log_url: str, home: Path
) -> None:
    log, worker = EventLog(log_url), new_worker(checkpoint_every_s=0.01, publish_every_s=0.01, gate_min_events=100)
    send(log, some_events(2_500))
    send(log, of_user(60, "mine"))
    worker.drain()
    worker.publish()
    partition, asked = append_tombstone(log, KEY)
    loop.run(worker, lambda: worker.account.forgotten == 1 and not worker.holds_forgotten())
    assert not known(home, worker)
    assert {name.split("/")[0] for name in holders(home)} == {"registry"}  # the version from before
    left = [entry.id for entry in log.read_after({}, 100).entries if entry.partition == partition]
    assert left == [asked]  # trimmed up to it


def test_dead_letters_are_put_back_without_the_user(new_worker: MakeWorker, log_url: str) -> None:
    log, worker = EventLog(log_url), new_worker()
    partition = KEY >> 60
    both = Events.concatenate([of_user(3, "mine"), some_events(4)])
    log.append({partition: (7, encode_block(both))})
    (entry,) = log.read_after({}, 10).entries
    letters = DeadLetters(log)
    for source in (entry.source, f"{entry.source}#2"):
        letters.put(DeadLetter(source, Reason.UNSOUND, "poison", 7, entry.block))
    append_tombstone(log, KEY)
    worker.drain()
    assert [len(decode_block(letter.block)) for letter in letters.all()] == [4, 4]
    assert letters.remove(f"{entry.source}#2")
    assert [letter.source for letter in letters.all()] == [entry.source]


def test_what_is_no_whole_tombstone_is_none() -> None:
    assert tombstone_in(encode_tombstone(KEY)) == KEY
    for block in (b"", b"WNWF", encode_tombstone(KEY)[:-1], encode_tombstone(KEY) + b"x", encode_tombstone(1)):
        assert tombstone_in(block) is None

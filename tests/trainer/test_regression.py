"""A log that lost entries, was emptied or replaced: nothing new is skipped, nothing old is trained twice."""

from collections.abc import Iterator

import pytest
import redis

from contract.event_log import EventLog, StreamId, stream_key
from contract.hashing import PARTITIONS
from tests.trainer.conftest import MakeWorker, send, some_events
from trainer.reading import over
from trainer.worker import Worker

HOUR_MS = 3_600_000


@pytest.fixture
def server(log_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(log_url) as client:
        yield client


def streams(server: redis.Redis) -> dict[int, bytes | None]:
    return {partition: server.dump(stream_key(partition)) for partition in range(PARTITIONS)}


def put_back(server: redis.Redis, kept: dict[int, bytes | None]) -> None:
    """Lose the tail: each stream is what it was, its last id too."""
    for partition, content in kept.items():
        server.delete(stream_key(partition))
        if content is not None:
            server.restore(stream_key(partition), 0, content)


def append_after(server: redis.Redis, log: EventLog, kept: dict[int, bytes | None], prefix: str) -> None:
    """Append 300 events with ids right after what the log kept, far below what it had given out."""
    put_back(server, kept)
    before = log.last()
    send(log, some_events(300, seed=9, prefix=prefix))
    entries = log.read_after(before, 10_000).entries
    put_back(server, kept)
    for seq, entry in enumerate(entries, 1):
        after = before[entry.partition]
        server.xadd(
            stream_key(entry.partition),
            {"block": entry.block, "events": entry.events},
            id=f"{after.ms}-{after.seq + seq}",
        )


def lose_the_tail(new_worker: MakeWorker, log: EventLog, server: redis.Redis) -> Worker:
    worker = new_worker()
    send(log, some_events(300, prefix="kept"))
    worker.drain()
    kept = streams(server)
    send(log, some_events(200, seed=3, prefix="lost"))
    worker.drain()
    append_after(server, log, kept, "new")
    return worker


def regressions(worker: Worker) -> float:
    return worker.metrics.registry.get_sample_value("winnow_trainer_stream_regressions_total") or 0.0


@pytest.mark.parametrize("restarted", [True, False])
def test_new_entries_with_ids_behind_the_position_are_learned(
    new_worker: MakeWorker, log_url: str, server: redis.Redis, restarted: bool
) -> None:
    log = EventLog(log_url)
    worker = lose_the_tail(new_worker, log, server)
    if restarted:
        worker = new_worker()
    worker.drain()
    assert worker.account.trained == 800
    assert regressions(worker) > 0


def test_entries_hidden_behind_the_position_are_learned_though_later_ones_are_above_it(
    new_worker: MakeWorker, log_url: str, server: redis.Redis
) -> None:
    log = EventLog(log_url)
    worker = lose_the_tail(new_worker, log, server)
    send(log, some_events(100, seed=4, prefix="later"))  # the clock has caught up before anybody looked
    worker.drain()
    assert worker.account.trained == 900


def test_nothing_hidden_is_trimmed_though_an_older_checkpoint_is_taken_up(
    new_worker: MakeWorker, log_url: str, server: redis.Redis
) -> None:
    log = EventLog(log_url)
    worker = lose_the_tail(new_worker, log, server)
    worker.drain()
    newest = worker.store.files()[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    again = new_worker()
    again.drain()
    assert again.account.trained == 800


@pytest.mark.parametrize("fault", ["flush", "stream", "group"])
def test_a_log_that_is_emptied_under_the_trainer_costs_no_weights_and_no_new_event(
    new_worker: MakeWorker, log_url: str, server: redis.Redis, fault: str
) -> None:
    log, worker = EventLog(log_url), new_worker()
    send(log, some_events(300))
    worker.drain()
    if fault == "flush":
        server.flushall()
    for partition in range(PARTITIONS):
        if fault == "stream":
            server.delete(stream_key(partition))
        if fault == "group":
            server.xgroup_destroy(stream_key(partition), "winnow-trainer")
    send(log, some_events(200, seed=1, prefix="new"))
    worker.drain()
    assert worker.account.trained == 500
    assert log.published() == worker.position


def test_a_key_that_is_no_stream_stops_its_partition_alone(
    new_worker: MakeWorker, log_url: str, server: redis.Redis
) -> None:
    log, worker = EventLog(log_url), new_worker()
    send(log, some_events(300))
    worker.drain()
    server.delete(stream_key(5))
    server.set(stream_key(5), "no stream")
    server.xadd(stream_key(4), {"block": b"x", "events": 3})
    while worker.account.dead < 3:
        worker.advance()
    worker.checkpoint()
    assert worker.metrics.registry.get_sample_value("winnow_trainer_unreadable_partitions") == 1
    server.delete(stream_key(5))
    send(log, some_events(200, seed=1, prefix="new"))
    worker.drain()
    assert worker.account.trained == 500


def test_entries_deleted_before_they_were_read_are_counted(
    new_worker: MakeWorker, log_url: str, server: redis.Redis
) -> None:
    log = EventLog(log_url)
    send(log, some_events(300))
    read = log.read_after({}, 10_000).entries[0]
    server.xdel(stream_key(read.partition), str(read.id))
    worker = new_worker()
    assert worker.metrics.registry.get_sample_value("winnow_trainer_stream_gaps_total") == 1


def test_ids_far_ahead_of_the_clock_are_learned_and_not_waited_for(
    new_worker: MakeWorker, log_url: str, server: redis.Redis
) -> None:
    log, worker = EventLog(log_url), new_worker()
    ahead = StreamId(log.read_after({}, 1).now_ms + HOUR_MS, 0)
    for partition in range(PARTITIONS):
        server.xadd(stream_key(partition), {"block": b"x", "events": 1}, id=str(ahead))  # and the clock was set back
    send(log, some_events(300))
    worker.drain()
    assert worker.account.trained == 300


def test_no_entry_is_learned_before_one_of_its_partition_that_must_wait(log_url: str, server: redis.Redis) -> None:
    log = EventLog(log_url)
    now = log.read_after({}, 1).now_ms
    for at in (5, now + 1_000, now + HOUR_MS):
        server.xadd(stream_key(1), {"block": b"x", "events": 1}, id=f"{at}-0")
    server.xadd(stream_key(2), {"block": b"x", "events": 1}, id=f"{now + HOUR_MS}-0")
    read = log.read_after({}, 10)
    assert [(entry.partition, entry.id.ms) for entry in over(read, now)] == [(1, 5), (2, now + HOUR_MS)]

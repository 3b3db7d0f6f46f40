"""The claim on a real log: the newest trainer's alone, and what it trims was learned."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from contract.errors import Fenced, LogUnavailable
from contract.event_log import BEGINNING, EventLog, Position, StreamId, stream_key
from contract.hashing import PARTITIONS
from contract.log_claim import LogClaim, epoch_key
from tests.contract.test_event_log import drawn_ids, places, store

IDS = {3: ["5-0", "5-1", "7-0"], 1: ["5-0", "6-3"]}


@pytest.fixture
def server(log_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(log_url) as client:
        yield client


@pytest.fixture
def log(log_url: str) -> Iterator[EventLog]:
    log = EventLog(log_url)
    yield log
    log.close()


def taken(log: EventLog) -> LogClaim:
    claim = LogClaim(log)
    claim.take()
    return claim


def test_positions_are_shown_and_move_both_ways(log: EventLog, server: redis.Redis) -> None:
    store(server, IDS)
    claim = taken(log)
    for position in ({3: StreamId(5, 1), 1: StreamId(5, 0), 8: BEGINNING}, {3: StreamId(7, 0)}, {3: StreamId(5, 0)}):
        assert claim.cover(position, {}) == []
        assert log.published().items() >= position.items()
    assert len(log.published()) == PARTITIONS
    assert len(log.read_after({}, 100).entries) == 5


def test_a_trim_leaves_the_entry_that_reads_begin_at(log: EventLog, server: redis.Redis) -> None:
    store(server, IDS)
    position = {3: StreamId(5, 1), 1: StreamId(6, 3)}
    before = log.lag(position)
    taken(log).cover(position, position)
    assert places(log.read_after({}, 100).entries) == [(StreamId(5, 1), 3), (StreamId(6, 3), 1), (StreamId(7, 0), 3)]
    assert log.lag(position) == before


@pytest.mark.parametrize("seed", range(4))
def test_untrained_entries_are_never_trimmed(log: EventLog, server: redis.Redis, seed: int) -> None:
    stored, dice = store(server, drawn_ids(seed)), random.Random(seed)
    of = {p: [at for at, partition in stored if partition == p] for p in {partition for _, partition in stored}}
    position: Position = {p: dice.choice(ids) for p, ids in of.items()}
    kept = [(at, partition) for at, partition in stored if at >= position[partition]]
    assert taken(log).cover(position, position) == []
    assert places(log.read_after({}, 100).entries) == kept


def test_a_partition_whose_anchor_is_gone_is_left_alone(log: EventLog, server: redis.Redis) -> None:
    store(server, {3: ["2-0", "3-0"]})
    assert taken(log).cover({3: StreamId(5, 0)}, {3: StreamId(5, 0)}) == [3]
    assert len(log.read_after({}, 100).entries) == 2


def test_a_newer_claim_fences_the_older_before_it_shows_or_trims_anything(log: EventLog, server: redis.Redis) -> None:
    store(server, IDS)
    old, new = taken(log), taken(log)
    position = {3: StreamId(7, 0)}
    for call in (old.check, lambda: old.cover(position, position)):
        with pytest.raises(Fenced, match=r"epoch 2 of partition \d+, ours is 1.*stop one"):
            call()
    assert len(log.read_after({}, 100).entries) == 5
    assert log.published()[3] == BEGINNING
    new.check()
    assert new.cover(position, position) == []


def test_a_claim_outlives_a_flush(log: EventLog, server: redis.Redis) -> None:
    old, new = taken(log), taken(log)
    server.flushall()
    new.check()
    assert new.cover({0: BEGINNING}, {}) == []
    assert server.get(epoch_key(0)) == b"2"
    with pytest.raises(Fenced):
        old.check()


def test_entries_deleted_unread_are_seen_and_trimmed_ones_are_not(log: EventLog, server: redis.Redis) -> None:
    store(server, IDS)
    server.xtrim(stream_key(1), minid="6-0", approximate=False)
    server.xdel(stream_key(3), "5-1")
    claim = taken(log)
    assert claim.deleted_after({3: StreamId(5, 0)}) == {3: StreamId(5, 1)}
    assert claim.deleted_after({3: StreamId(5, 1)}) == {}


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    claim = LogClaim(EventLog(f"unix://{tmp_path}/nobody.sock"))
    for call in (claim.take, claim.check, lambda: claim.cover({0: BEGINNING}, {}), lambda: claim.deleted_after({})):
        with pytest.raises(LogUnavailable):
            call()

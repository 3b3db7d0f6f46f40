"""The log on a real server: order, completeness, positions, trimming, and what is said when it is away."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from contract.errors import LogUnavailable
from contract.event_log import Anchors, Entry, EventLog, Lag, Position, StreamId, stream_key
from contract.hashing import PARTITIONS

IDS = {3: ["5-0", "5-1", "7-0"], 1: ["5-0", "6-3"], 15: ["9-9"]}


@pytest.fixture
def log(log_url: str) -> Iterator[EventLog]:
    log = EventLog(log_url)
    yield log
    log.close()


@pytest.fixture
def server(log_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(log_url) as client:
        yield client


@pytest.fixture
def stored(server: redis.Redis) -> list[tuple[StreamId, int]]:
    """Three partitions with ids of our choice; returns (id, partition) in the promised order."""
    return store(server, IDS)


def store(server: redis.Redis, ids: dict[int, list[str]]) -> list[tuple[StreamId, int]]:
    for partition, texts in ids.items():
        for text in texts:
            server.xadd(stream_key(partition), {"block": f"{partition}/{text}", "events": 2}, id=text)
    return sorted((StreamId.parse(text), partition) for partition, texts in ids.items() for text in texts)


def places(entries: list[Entry]) -> list[tuple[StreamId, int]]:
    return [(entry.id, entry.partition) for entry in entries]


def drawn_ids(seed: int) -> dict[int, list[str]]:
    """Draw entries that crowd into few milliseconds, so that partitions tie and reads are cut inside one."""
    dice = random.Random(seed)
    return {
        partition: [f"{ms}-{seq}" for ms, seq in sorted({(dice.randint(1, 6), dice.randint(0, 5)) for _ in range(9)})]
        for partition in dice.sample(range(PARTITIONS), 5)
    }


def read_on(log: EventLog, count: int, total: int) -> list[Entry]:
    """Read as the trainer does: hold what was read, use what is complete, in order."""
    position, held, used = Position(), list[Entry](), list[Entry]()
    deadline = time.monotonic() + 20
    while len(used) < total:
        assert time.monotonic() < deadline, f"stuck at {position}"
        result = log.read_after(position, count)
        position |= {entry.partition: entry.id for entry in result.entries}
        held = sorted([*held, *result.entries], key=lambda entry: (entry.id, entry.partition))
        ready = [entry for entry in held if entry.id.ms < result.complete_before_ms]
        used, held = used + ready, held[len(ready) :]
    return used


def test_what_was_appended_is_read_back(log: EventLog) -> None:
    ids = log.append({4: (2, b"\x00\xff"), 0: (1, b"b")})
    read = {entry.partition: entry for entry in log.read_after({}, 10).entries}
    assert read == {4: Entry(4, ids[4], 2, b"\x00\xff"), 0: Entry(0, ids[0], 1, b"b")}


def test_appending_nothing_is_nothing(log: EventLog) -> None:
    assert log.append({}) == {}


def test_entries_come_in_the_order_of_their_ids_then_partitions(
    log: EventLog, stored: list[tuple[StreamId, int]]
) -> None:
    assert places(log.read_after({}, 100).entries) == stored
    assert [(str(at), partition) for at, partition in stored[:3]] == [("5-0", 1), ("5-0", 3), ("5-1", 3)]


@pytest.mark.parametrize("seed", range(4))
def test_the_order_does_not_depend_on_how_reads_were_cut(log: EventLog, server: redis.Redis, seed: int) -> None:
    expected = store(server, drawn_ids(seed))
    for count in (1, 2, 3, 5, 100):
        assert places(read_on(log, count, len(expected))) == expected


def test_a_read_that_was_cut_claims_nothing_past_the_cut(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    assert log.read_after({}, 3).complete_before_ms == 7  # partition 3 may hold more of ms 7
    assert log.read_after({}, 2).complete_before_ms == 5
    assert log.read_after({3: StreamId(7, 0)}, 3).complete_before_ms > 1_700_000_000_000  # nothing was cut: the clock


def test_reading_starts_after_the_position(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    position = {3: StreamId(5, 1), 1: StreamId(5, 0), 15: StreamId(9, 9)}
    assert places(log.read_after(position, 100).entries) == [(StreamId(6, 3), 1), (StreamId(7, 0), 3)]


def test_every_entry_below_complete_has_been_read_while_others_append(log: EventLog, log_url: str) -> None:
    appended: list[StreamId] = []

    def append() -> None:
        writer = EventLog(log_url)
        for turn in range(200):
            appended.extend(
                writer.append({turn % PARTITIONS: (1, b"b"), (turn * 7 + 1) % PARTITIONS: (1, b"c")}).values()
            )
        writer.close()

    thread = threading.Thread(target=append)
    thread.start()
    position, claims = Position(), list[tuple[int, int]]()  # (complete_before_ms, entries read below it by then)
    read: list[StreamId] = []
    while thread.is_alive() or len(read) < len(appended):
        result = log.read_after(position, 3)
        position |= {entry.partition: entry.id for entry in result.entries}
        read += [entry.id for entry in result.entries]
        claims.append((result.complete_before_ms, sum(at.ms < result.complete_before_ms for at in read)))
    thread.join()
    assert sorted(read) == sorted(appended)
    assert all(count == sum(at.ms < complete for at in read) for complete, count in claims)


@pytest.mark.parametrize(
    "fields",
    [
        {"other": "x"},
        {"block": "b"},
        {"block": "b", "events": "-1"},
        {"block": "b", "events": "1e3"},
        {"block": "b", "events": "9" * 5_000},
        {"events": "²"},
    ],
)
def test_an_entry_of_a_stranger_is_read_as_one_of_no_events(
    log: EventLog, server: redis.Redis, fields: dict[str, str]
) -> None:
    server.xadd(stream_key(2), dict[Any, Any](fields))
    (entry,) = log.read_after({}, 10).entries
    assert (entry.partition, entry.events, entry.block) == (2, 0, fields.get("block", "").encode())


def test_lag_counts_what_is_after_the_position(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    assert log.lag({}) == Lag(entries=6, oldest_ms=5)
    assert log.lag({3: StreamId(5, 0), 1: StreamId(5, 0)}) == Lag(entries=4, oldest_ms=5)
    assert log.lag({3: StreamId(7, 0), 1: StreamId(6, 3)}) == Lag(entries=1, oldest_ms=9)
    assert log.lag(log.last()) == Lag(entries=0, oldest_ms=None)


def anchors(entries: list[Entry]) -> Anchors:
    return {entry.partition: entry.anchor for entry in entries}


def test_a_read_begins_at_its_anchor_and_does_not_return_it(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    position = {3: StreamId(5, 1), 1: StreamId(6, 3)}
    known = anchors(log.read_after({3: StreamId(5, 0), 1: StreamId(5, 0)}, 1).entries)
    read = log.read_after(position, 1, known)
    assert (places(read.entries), read.lost) == ([(StreamId(7, 0), 3), (StreamId(9, 9), 15)], [])
    assert read.complete_before_ms == 7  # two rows of partition 3 were asked for: the cut is still seen


def test_an_anchor_that_is_gone_or_another_is_told_and_nothing_is_read_past_it(
    log: EventLog, server: redis.Redis, stored: list[tuple[StreamId, int]]
) -> None:
    position = {3: StreamId(7, 0), 1: StreamId(6, 3), 15: StreamId(9, 9)}
    known = anchors(log.read_after({}, 100).entries)
    server.delete(stream_key(3), stream_key(1))
    store(server, {1: ["6-3", "8-0"]})  # the same id, and another entry
    server.xadd(stream_key(1), {"block": "x", "events": 1}, id="8-1")
    server.delete(stream_key(1))
    server.xadd(stream_key(1), {"block": "another", "events": 1}, id="6-3")
    server.xadd(stream_key(1), {"block": "new", "events": 1}, id="8-0")
    read = log.read_after(position, 100, known)
    assert (read.entries, read.lost) == ([], [1, 3])


def test_a_key_that_is_no_stream_does_not_keep_the_others_from_being_read(
    log: EventLog, server: redis.Redis, stored: list[tuple[StreamId, int]]
) -> None:
    server.delete(stream_key(3))
    server.set(stream_key(3), "not a stream")
    read = log.read_after({}, 100, {})
    assert places(read.entries) == [place for place in stored if place[1] != 3]
    assert list(read.broken) == [3]


@pytest.mark.parametrize("text", ["0-0", "1795593600000-0", "18446744073709551615-7"])
def test_a_stream_id_reads_back_as_it_was_written(text: str) -> None:
    assert str(StreamId.parse(text)) == str(StreamId.parse(text.encode())) == text
    assert StreamId.parse(text) < StreamId.parse(text).next
    assert StreamId(2, 0) > StreamId(1, 99)


CALLS: list[Callable[[EventLog], object]] = [
    lambda log: log.ping(),
    lambda log: log.append({0: (1, b"b")}),
    lambda log: log.read_after({}, 1),
    lambda log: log.published(),
    lambda log: log.last(),
    lambda log: log.lag({}),
]


@pytest.mark.parametrize("call", CALLS)
def test_every_call_says_when_the_server_is_away(tmp_path: Path, call: Callable[[EventLog], object]) -> None:
    with pytest.raises(LogUnavailable):
        call(EventLog(f"unix://{tmp_path}/nobody.sock", timeout_s=5))


def test_a_server_that_never_answers_costs_the_timeout_and_no_more(silent_url: str) -> None:
    log, began = EventLog(silent_url, timeout_s=0.1), time.monotonic()
    with pytest.raises(LogUnavailable):
        log.append({0: (1, b"b")})
    assert 0.1 <= time.monotonic() - began < 1
    log.close()


def test_what_the_server_refuses_is_told_as_unavailable(log: EventLog, server: redis.Redis) -> None:
    server.set(stream_key(0), "not a stream")
    with pytest.raises(LogUnavailable, match="WRONGTYPE"):
        log.append({0: (1, b"b")})


def test_ping_gives_the_version_of_the_server(log: EventLog) -> None:
    assert int(log.ping().split(".")[0]) >= 7


@pytest.fixture
def silent_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that accepts and never says a word."""
    path = tmp_path_factory.mktemp("s") / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield f"unix://{path}"

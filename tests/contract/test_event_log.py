"""The log on a real server: order, completeness, positions, trimming, and what is said when it is away."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from contract.errors import LogUnavailable
from contract.event_log import BEGINNING, DEAD_LETTERS_KEY, Entry, EventLog, Lag, Position, StreamId, stream_key
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


def test_published_positions_read_back_and_move_both_ways(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    assert set(log.published().values()) == {BEGINNING}
    for position in ({3: StreamId(5, 1), 8: StreamId(4, 0)}, {3: StreamId(7, 0)}, {3: StreamId(5, 0), 8: BEGINNING}):
        log.publish(position)
        assert log.published().items() >= position.items()
    assert log.published()[1] == BEGINNING
    assert len(log.published()) == PARTITIONS


def test_publishing_neither_adds_nor_hides_entries(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    log.publish({partition: StreamId(6, 0) for partition in range(PARTITIONS)})
    assert places(log.read_after({}, 100).entries) == stored
    assert log.lag({}) == Lag(6, 5)


def test_last_is_the_newest_id_even_after_it_was_trimmed(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    log.trim_behind({3: StreamId(7, 0)})
    log.publish({0: BEGINNING})
    newest = {3: StreamId(7, 0), 1: StreamId(6, 3), 15: StreamId(9, 9)}
    assert log.last() == {partition: newest.get(partition, BEGINNING) for partition in range(PARTITIONS)}


def test_lag_counts_what_is_after_the_position(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    assert log.lag({}) == Lag(entries=6, oldest_ms=5)
    assert log.lag({3: StreamId(5, 0), 1: StreamId(5, 0)}) == Lag(entries=4, oldest_ms=5)
    assert log.lag({3: StreamId(7, 0), 1: StreamId(6, 3)}) == Lag(entries=1, oldest_ms=9)
    assert log.lag(log.last()) == Lag(entries=0, oldest_ms=None)


def test_lag_counts_the_same_before_and_after_a_trim(log: EventLog, stored: list[tuple[StreamId, int]]) -> None:
    position = {3: StreamId(5, 1), 1: StreamId(5, 0)}
    before = log.lag(position)
    assert log.trim_behind({3: StreamId(5, 0)}) == 1
    assert log.lag(position) == before
    assert log.trim_behind(position) == 2
    assert log.lag(position) == before


@pytest.mark.parametrize("seed", range(4))
def test_untrained_entries_are_never_trimmed(log: EventLog, server: redis.Redis, seed: int) -> None:
    stored, dice = store(server, drawn_ids(seed)), random.Random(seed)
    position = {p: StreamId(dice.randint(0, 7), dice.randint(0, 5)) for p in dice.sample(range(PARTITIONS), 9)}
    kept = [(at, partition) for at, partition in stored if at > position.get(partition, BEGINNING)]
    assert log.trim_behind(position) == len(stored) - len(kept)
    assert places(log.read_after({}, 100).entries) == kept


def test_a_log_that_lost_its_tail_gives_out_ids_after_the_position(log: EventLog, server: redis.Redis) -> None:
    ahead = int(time.time() * 1000) + 3_600_000  # learned before the server's clock was set back an hour
    position = {3: StreamId(ahead, 5), 4: StreamId(ahead, 0), 1: StreamId(5, 0)}
    store(server, IDS)
    assert log.continue_after(position) == [3, 4]
    new = log.append({3: (1, b"new"), 4: (1, b"new")})
    assert new[3] > position[3]
    assert new[4] > position[4]
    assert [entry.block for entry in log.read_after(position, 10).entries if entry.partition != 15] == [
        b"1/6-3", b"new", b"new",
    ]  # fmt: skip
    assert log.continue_after(position) == []


def test_a_dead_letter_is_listed_once_a_source_with_its_latest_reason(log: EventLog) -> None:
    first, second = Entry(3, StreamId(5, 0), 2, b"\xff\x00"), Entry(3, StreamId(5, 1), 0, b"")
    for entry, reason in ((first, "not a block"), (second, "empty"), (first, "still not a block")):
        log.dead_letter(entry, reason)
    assert log.dead_letters() == [
        {"reason": "still not a block", "source": "3/5-0", "events": "2"},
        {"reason": "empty", "source": "3/5-1", "events": "0"},
    ]


def test_a_dead_letter_keeps_its_block(log: EventLog, server: redis.Redis) -> None:
    log.dead_letter(Entry(3, StreamId(5, 0), 2, b"\xff\x00"), "not a block")
    ((_, row),) = cast(list[Any], server.xrange(DEAD_LETTERS_KEY))
    assert row[b"block"] == b"\xff\x00"


@pytest.mark.parametrize("text", ["0-0", "1795593600000-0", "18446744073709551615-7"])
def test_a_stream_id_reads_back_as_it_was_written(text: str) -> None:
    assert str(StreamId.parse(text)) == str(StreamId.parse(text.encode())) == text
    assert StreamId.parse(text) < StreamId.parse(text).next
    assert StreamId(2, 0) > StreamId(1, 99)


CALLS: list[Callable[[EventLog], object]] = [
    lambda log: log.ping(),
    lambda log: log.append({0: (1, b"b")}),
    lambda log: log.read_after({}, 1),
    lambda log: log.publish({0: BEGINNING}),
    lambda log: log.continue_after({0: BEGINNING}),
    lambda log: log.published(),
    lambda log: log.last(),
    lambda log: log.trim_behind({0: BEGINNING}),
    lambda log: log.lag({}),
    lambda log: log.dead_letter(Entry(0, BEGINNING, 0, b""), "why"),
    lambda log: log.dead_letters(),
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

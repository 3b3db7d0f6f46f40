"""What the log says of itself, on a real server: entries, lag, age, memory, dead letters."""

import time
from collections.abc import Iterator
from math import isnan

import pytest

from contract.dead_letters import DeadLetter, DeadLetters, Reason
from contract.errors import LogUnavailable
from contract.event_log import BEGINNING, EventLog, Position, StreamId, stream_key
from contract.hashing import PARTITIONS
from contract.log_claim import LogClaim
from contract.log_figures import read_figures


@pytest.fixture
def log(log_url: str) -> Iterator[EventLog]:
    log = EventLog(log_url)
    yield log
    log.close()


def fill(log: EventLog, partition: int, seconds_ago: list[int]) -> list[StreamId]:
    """Append one entry at each of the times."""
    now_ms = time.time_ns() // 1_000_000
    found = [StreamId(now_ms - 1_000 * ago, 0) for ago in seconds_ago]
    for at in found:
        log.client.xadd(stream_key(partition), {"block": b"x" * 100, "events": 1}, id=str(at))
    return found


def test_an_empty_log_holds_nothing_and_lags_by_nothing(log: EventLog) -> None:
    figures = read_figures(log)
    assert set(figures.entries.values()) == set(figures.lag.values()) == {0}
    assert len(figures.entries) == PARTITIONS
    assert (figures.oldest_untrained_s, figures.dead_letters, figures.write_ok) == (0.0, 0, True)
    assert isnan(figures.memory_used_ratio)


def test_what_nobody_has_read_is_all_behind(log: EventLog) -> None:
    fill(log, 3, [30, 20, 10])
    fill(log, 7, [5])
    figures = read_figures(log)
    assert (figures.lag[3], figures.lag[7], figures.lag_entries) == (3, 1, 4)
    assert figures.oldest_untrained_s == pytest.approx(30, abs=2)


def test_the_oldest_is_the_first_after_the_position_and_none_once_all_is_covered(log: EventLog) -> None:
    ids, claim = fill(log, 3, [40, 30, 20, 10]), LogClaim(log)
    claim.take()

    def cover(upto: StreamId, trim_to: StreamId = BEGINNING) -> None:
        position: Position = dict.fromkeys(range(PARTITIONS), BEGINNING) | {3: upto}
        claim.cover(position, {3: trim_to})

    cover(ids[1])
    figures = read_figures(log)
    assert (figures.entries[3], figures.lag[3]) == (4, 2)
    assert figures.oldest_untrained_s == pytest.approx(20, abs=2)
    cover(ids[2], trim_to=ids[1])
    figures = read_figures(log)
    assert (figures.entries[3], figures.lag[3]) == (3, 1)
    cover(ids[3], trim_to=ids[2])
    figures = read_figures(log)
    assert (figures.entries[3], figures.lag_entries, figures.oldest_untrained_s) == (2, 0, 0.0)
    fill(log, 3, [1, 0])
    assert read_figures(log).lag[3] == 2


def test_a_key_that_is_no_stream_hides_no_other_partition(log: EventLog) -> None:
    log.client.set(stream_key(2), "stranger")
    fill(log, 3, [10])
    assert read_figures(log).lag_entries == 1


def test_memory_is_told_against_the_servers_bound(log: EventLog) -> None:
    log.client.config_set("maxmemory", 1 << 30)
    try:
        assert 0 < read_figures(log).memory_used_ratio < 1
    finally:
        log.client.config_set("maxmemory", 0)


def test_dead_letters_are_counted(log: EventLog) -> None:
    DeadLetters(log).put(DeadLetter("3/1-0", Reason.UNSOUND, "it is not sound", 2, b"x"))
    assert read_figures(log).dead_letters == 1


def test_a_log_that_is_away_is_said_to_be() -> None:
    log = EventLog("redis://127.0.0.1:1", timeout_s=0.2)
    with pytest.raises(LogUnavailable):
        read_figures(log)
    log.close()


def test_a_fault_of_the_append_only_file_is_seen(log: EventLog) -> None:
    """No disk can be made to fail here, so the server's answer is altered on its way."""
    answer = {"aof_last_write_status": "err", "aof_last_bgrewrite_status": "ok"}
    log.client.set_response_callback("INFO", lambda *_, **__: answer)
    assert not read_figures(log).write_ok

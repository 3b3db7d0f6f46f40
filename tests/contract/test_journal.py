"""The journal: bounded streams of what the trainer tells, on a real server."""

import math
import time
from collections.abc import Iterator

import pytest
import redis

from contract.errors import LogUnavailable
from contract.event_log import EventLog
from contract.journal import KEPT, KINDS, Entry, Journal, journal_key
from tests.contract.journal_entries import direction, progress, version


@pytest.fixture
def journal(log_url: str) -> Iterator[Journal]:
    log = EventLog(log_url)
    yield Journal(log)
    log.close()


def test_entries_come_back_as_they_were_written_and_each_once(journal: Journal) -> None:
    first: list[Entry] = [progress(1), direction(), version()]
    journal.write(first)
    read = journal.last()
    assert sorted(read.entries, key=repr) == sorted(first, key=repr)
    assert journal.after(read.position).entries == []
    journal.write([progress(2)])
    assert journal.after(read.position).entries == [progress(2)]


def test_a_reader_without_a_position_gets_the_latest_in_order(journal: Journal) -> None:
    journal.write([progress(n) for n in range(10)])
    assert journal.last(3).entries == [progress(7), progress(8), progress(9)]


def test_what_is_not_a_number_is_null(journal: Journal) -> None:
    journal.write([progress(auc=math.nan)])
    assert journal.last().entries == [progress(auc=None)]


def test_the_journal_is_bounded_and_many_decisions_push_out_no_progress(journal: Journal, log_url: str) -> None:
    journal.write([progress(7)])
    for _ in range(10):
        journal.write([direction(n) for n in range(KEPT)])
    with redis.Redis.from_url(log_url) as client:
        assert KEPT <= client.xlen(journal_key("direction")) <= KEPT + 200
    read = journal.last()
    assert progress(7) in read.entries
    assert len(read.entries) == KEPT + 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b'{"kind":"weather","at_ms":1}',
        b'{"kind":"version"}',
        b'{"kind":"progress","x":"' + b"a" * 20_000,
    ],
)
def test_an_entry_that_cannot_be_made_out_is_passed_over(journal: Journal, log_url: str, content: bytes) -> None:
    journal.write([progress(1)])
    with redis.Redis.from_url(log_url) as client:
        client.xadd(journal_key("progress"), {"entry": content})
        client.xadd(journal_key("progress"), {"another field": "of another release"})
    journal.write([progress(2)])
    read = journal.last()
    assert read.entries == [progress(1), progress(2)]
    assert journal.after(read.position).entries == []


def test_a_log_that_is_away_is_said_so_at_once() -> None:
    log = EventLog("unix:///nonexistent/server.sock", 0.25)
    started = time.monotonic()
    with pytest.raises(LogUnavailable):
        Journal(log).write([progress()])
    with pytest.raises(LogUnavailable):
        Journal(log).last()
    assert time.monotonic() - started < 5
    log.close()


def test_the_streams_share_a_slot_of_a_cluster() -> None:
    assert {journal_key(kind).split("}")[0] for kind in KINDS} == {"{winnow:journal"}

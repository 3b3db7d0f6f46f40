"""What the trainer tells: counts that add up, no ids, and nothing that learning would notice."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from contract.event_log import EventLog
from contract.journal import Direction, Entry, Journal, Progress, Version
from contract.registry import Registry
from contract.watch import CELLS, NO_CELL
from models.inverse_gradient import Decision
from models.inverse_gradient import Direction as Way
from tests.trainer.conftest import MakeWorker, send, some_events
from trainer.chronicle import EVERY_S, MOST_DIRECTIONS, TIME_SHARE, Chronicle
from trainer.journal_entries import direction_entry
from trainer.step_report import Steered, StepReport
from trainer.worker import Worker

EVENTS = 3_000


def entries_after(worker: Worker, log_url: str) -> list[Entry]:
    """Let the trainer tell what it has not told yet, and return the whole journal."""
    worker.chronicle._due = 0.0
    worker.advance()
    log = EventLog(log_url)
    entries = Journal(log).last().entries
    log.close()
    return entries


def test_progress_counts_every_event_by_outcome_label_and_flag(new_worker: MakeWorker, log_url: str) -> None:
    worker, events = new_worker(), some_events(EVENTS)
    send(EventLog(log_url), events)
    worker.drain()
    progress = [entry for entry in entries_after(worker, log_url) if isinstance(entry, Progress)][-1]
    assert (progress.trained, progress.read, progress.checkpoint) == (EVENTS, EVENTS, 1)
    assert progress.labels == {
        "positive": int((events.actions != 0).sum()),
        "negative": 0,
        "unlabelled": int((events.actions == 0).sum()),
    }
    assert sum(progress.flags.values()) == EVENTS
    assert progress.flags["loop"] > 0
    assert progress.auc is not None


@pytest.mark.parametrize("meta", ["none", "ig", "ig-local", "l2rw", "ig-sequential", "coin-flip"])
def test_each_method_tells_what_was_made_of_the_unlabelled(new_worker: MakeWorker, log_url: str, meta: str) -> None:
    worker = new_worker(meta=meta, meta_every=512, batch_events=256, wait_events=1_024)
    send(EventLog(log_url), some_events(EVENTS))
    worker.drain()
    entries = entries_after(worker, log_url)
    directions = [entry for entry in entries if isinstance(entry, Direction)]
    assert directions
    for entry in directions:
        assert entry.acted == (meta != "none")
        assert (entry.losses is not None) == (meta in ("none", "ig"))
        assert sum(sum(group.values()) for group in entry.groups.values()) == entry.examples > 0
        if entry.losses:
            assert entry.losses[entry.direction] == min(loss for loss in entry.losses.values() if loss is not None)
            assert sum(group[entry.direction] for group in entry.groups.values()) == entry.examples
    progress = [entry for entry in entries if isinstance(entry, Progress)]
    assert sum(progress[-1].directions.values()) >= len(directions)


def test_groups_are_counted_by_flag_and_by_what_was_chosen() -> None:
    loop = np.arange(3, CELLS, 4, dtype=np.int16)[:3]
    steered = Steered(np.append(loop, np.int16(NO_CELL)), np.array([1.0, -1.0, -1.0, 0.0]))
    report = StepReport.__new__(StepReport)
    losses = {Way.DIRECT: 0.5, Way.KEEP: float("nan"), Way.INVERSE: 0.25}
    object.__setattr__(report, "decision", Decision(Way.INVERSE, losses))
    entry = direction_entry(report, steered, stepped=9, acted=True, at_ms=1)
    assert entry.groups["loop"] == {"direct": 1, "keep": 0, "inverse": 2}
    assert entry.groups["background"] == {"direct": 0, "keep": 1, "inverse": 0}
    assert sum(sum(group.values()) for group in entry.groups.values()) == entry.examples == 4
    assert (entry.direction, entry.losses) == ("inverse", {"direct": 0.5, "keep": None, "inverse": 0.25})


def test_a_publication_is_told_with_its_verdict_and_size(new_worker: MakeWorker, log_url: str, home: Path) -> None:
    worker = new_worker(gate_min_events=500)
    send(EventLog(log_url), some_events(EVENTS))
    worker.drain()
    published = worker.publish()
    (version,) = [entry for entry in entries_after(worker, log_url) if isinstance(entry, Version)]
    assert (version.version, version.verdict) == (published.version, published.verdict.value)
    assert version.reasons == published.reasons
    files = Registry(home / "registry").path(published.version).iterdir()
    assert 0 < version.bytes <= sum(path.stat().st_size for path in files)


def test_no_entry_holds_an_id(new_worker: MakeWorker, log_url: str) -> None:
    worker, events = new_worker(meta="ig", batch_events=256, wait_events=1_024), some_events(EVENTS, prefix="event-")
    send(EventLog(log_url), events)
    worker.drain()
    worker.publish()
    text = msgspec.json.encode(entries_after(worker, log_url)).decode()
    assert {entry["kind"] for entry in msgspec.json.decode(text)} == {"progress", "direction", "version"}
    ids = {*events.event_id, *events.user_id, *events.item_id}
    assert [each for each in ids if f'"{each}"' in text or f" {each} " in text] == []


def test_weights_are_the_same_when_the_journal_cannot_be_written(
    new_worker: MakeWorker, log_url: str, tmp_path: Path
) -> None:
    send(EventLog(log_url), some_events(EVENTS))
    telling = new_worker(home=tmp_path / "telling", meta="ig", wait_events=1_024, read_entries=100_000)
    while telling.account.trained < EVENTS:
        telling.advance()
    silent = new_worker(meta="ig", wait_events=1_024, read_entries=100_000)
    away = EventLog("unix:///nonexistent/server.sock", 0.25)
    silent.chronicle = Chronicle(Journal(away), acting=True)
    while silent.account.trained < EVENTS:
        silent.advance()
    assert silent.chronicle._is_away
    assert not telling.chronicle._is_away
    states = [worker.learner.state() | worker.progressive.state() for worker in (telling, silent)]
    assert {name: part.tobytes() for name, part in states[0].items()} == {
        name: part.tobytes() for name, part in states[1].items()
    }


class SlowClock:
    """A clock of which every look takes `step_s`."""

    def __init__(self, step_s: float) -> None:
        self.now = 0.0
        self.step_s = step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


@pytest.mark.parametrize("step_s", [0.0001, 0.01, 1.0])
def test_it_rests_until_telling_was_a_small_share_of_the_time(
    new_worker: MakeWorker, log_url: str, step_s: float
) -> None:
    worker, clock, log = new_worker(), SlowClock(step_s), EventLog(log_url)
    chronicle = Chronicle(Journal(log), acting=False, clock=clock)
    taken_s, asked = 0.0, 0
    while clock.now < 200 * max(step_s, 0.01):
        before, due = clock.now, chronicle._due
        chronicle.tell(worker.account, 0, 0, worker.progressive.quality)
        asked += 1
        if chronicle._due != due:
            taken_s += clock.now - before
            assert chronicle._due >= before + min(EVERY_S, (clock.now - before) / TIME_SHARE / 2)
    assert taken_s <= max(2 * TIME_SHARE * clock.now, 10 * step_s)
    log.close()


def test_of_many_decisions_between_two_writes_the_latest_are_told(new_worker: MakeWorker, log_url: str) -> None:
    worker = new_worker(meta="ig", batch_events=32, wait_events=256)
    send(EventLog(log_url), some_events(EVENTS))
    worker.chronicle._due = float("inf")
    worker.drain()
    directions = [entry for entry in entries_after(worker, log_url) if isinstance(entry, Direction)]
    assert len(directions) == MOST_DIRECTIONS
    assert directions[-1].stepped == EVENTS


def test_the_first_auc_is_told_with_the_next_entry_not_seconds_later(new_worker: MakeWorker, log_url: str) -> None:
    worker, clock, log = new_worker(), SlowClock(0.0), EventLog(log_url)
    chronicle = Chronicle(Journal(log), acting=False, clock=clock)
    worker.chronicle._due = float("inf")
    chronicle.tell(worker.account, 0, 0, worker.progressive.quality)  # nothing is learned yet
    send(log, some_events(EVENTS))
    worker.drain()
    clock.now = EVERY_S
    chronicle.tell(worker.account, 0, 0, worker.progressive.quality)
    aucs = [entry.auc for entry in Journal(log).last().entries if isinstance(entry, Progress)]
    assert [auc is None for auc in aucs] == [True, False]
    clock.now = 2 * EVERY_S
    chronicle.tell(worker.account, 0, 0, lambda: pytest.fail("the figures are costly, and were just asked for"))
    log.close()

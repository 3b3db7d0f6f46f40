"""Who killed the trainer: found by bisection, and nobody else is harmed."""

import multiprocessing
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.chaos.deadly import DEADLY_ITEM
from contract.dead_letters import DeadLetters, Reason
from contract.event_log import EventLog
from contract.events import Events, FeedbackEvent
from tests.trainer.conftest import MakeWorker, send, some_events
from tests.trainer.dying import main
from tests.trainer.test_worker import weights
from trainer.reading import Reader
from trainer.suspects import DEATHS, Case, Doing, Suspects, after_death

ALL = Doing(7, 0, 2_048)


def deaths_until_condemned(events: int, killer: int) -> int:
    """Die as one event makes the trainer die, until it is condemned; return how often."""
    case, deaths = None, 0
    while case is None or case.guilty is None:
        parts = case.parts() if case and case.suspects else [(0, events)]
        first, past = next(part for part in parts if part[0] <= killer < part[1])
        case = after_death(case, Doing(7, first, past, trial=bool(case and case.suspects)))
        deaths += 1
    assert case.guilty == killer
    return deaths


@pytest.mark.parametrize("events", [1, 2, 9, 512, 2_048, 65_536])
def test_an_event_is_found_within_twelve_deaths(events: int) -> None:
    for killer in {0, events // 3, events - 1}:
        assert deaths_until_condemned(events, killer) <= 3 + 9


def test_nobody_is_suspected_for_two_deaths_nor_for_deaths_in_different_batches() -> None:
    twice = after_death(after_death(None, ALL), ALL)
    assert twice.suspects is None
    assert after_death(after_death(twice, Doing(8, 0, 5)), ALL).suspects is None
    assert after_death(twice, ALL).suspects == (0, 2_048)


def test_an_event_that_the_trainer_died_in_twice_is_not_condemned() -> None:
    case = Case(7, 5, (4, 6))
    for _ in range(DEATHS - 1):
        case = after_death(case, Doing(7, 5, 6, trial=True))
    assert case.guilty is None
    assert after_death(case, Doing(7, 4, 5, trial=True)).guilty is None


def test_an_unjust_suspicion_leaves_the_weights_as_they_are(
    new_worker: MakeWorker, log_url: str, home: Path, tmp_path: Path
) -> None:
    send(EventLog(log_url), some_events(400))
    steady = new_worker(home=tmp_path / "steady", batch_events=64)
    while steady.account.trained < 400:
        steady.advance()
    entries = steady.log.read_after({}, 10_000).entries
    window = [entry for entry in entries if entry.id.ms // 20 == entries[0].id.ms // 20]
    batch = next(Reader(64, 20_000, lambda _: None).batches(window)).events
    for _ in range(DEATHS):
        suspects = Suspects(home / "suspects")
        suspects.learning(batch).__enter__()  # and the process is killed at random
        suspects.take_up()
        suspects.close()
    again = new_worker(batch_events=64)
    assert again.suspects.case is not None
    assert again.suspects.case.suspects == (0, len(batch))
    while again.account.trained < 400:
        again.advance()
    assert weights(again) == weights(steady)
    assert again.suspects.case is None  # each part was tried out
    assert again.account.dead == 0


def test_an_event_that_kills_the_trainer_is_put_aside_and_all_others_are_trained_once(log_url: str, home: Path) -> None:
    log = EventLog(log_url)
    killer = FeedbackEvent(event_id="k", user_id="u1", item_id=DEADLY_ITEM, at=1_650_000_000_000, watch_ms=1)
    send(log, Events.concatenate([some_events(150), Events.from_models([killer]), some_events(150, prefix="f")]), 301)
    processes = multiprocessing.get_context("forkserver")  # imports once, and each death costs no second start
    processes.set_forkserver_preload(["tests.trainer.dying"])
    deaths, deadline = 0, time.monotonic() + 200
    while not DeadLetters(log).all():
        assert time.monotonic() < deadline
        process = processes.Process(target=main, args=(str(home), log_url))
        process.start()
        while process.is_alive() and not DeadLetters(log).all():
            process.join(0.02)
        if not process.is_alive():
            assert process.exitcode == -signal.SIGSEGV
            deaths += 1
    while log.lag(log.published()).entries:
        assert process.is_alive()
        process.join(0.02)
    process.terminate()
    process.join(30)
    assert process.exitcode == 0
    (letter,) = DeadLetters(log).all()
    assert (letter.reason, letter.events) == (Reason.KILLED, 1)
    assert deaths <= 3 + 9
    learned = pq.read_table(home / "labels")["event_id"].to_pylist()
    assert sorted(learned) == sorted([f"e{n}" for n in range(150)] + [f"f{n}" for n in range(150)])

"""The trainer's spans and log lines: what it does is the same whether it is traced or not."""

from collections.abc import Iterator

import numpy as np
import pytest
from structlog.contextvars import clear_contextvars, get_contextvars

from contract.errors import LogUnavailable
from contract.event_log import EventLog
from contract.open_telemetry import Traces
from tests.collector import Collector, running_collector
from tests.service.conftest import until
from tests.trainer.conftest import MakeWorker, send, some_events
from trainer import loop
from trainer.app import make_worker
from trainer.settings import TrainerSettings
from trainer.traced import TracedWorker
from trainer.worker import Worker


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with running_collector() as collector:
        for name, value in collector.environment().items():
            monkeypatch.setenv(name, value)
        yield collector


def traced(like: Worker, traces: Traces, home: str) -> Worker:
    """A traced worker with the settings of another, on the same log, in a home of its own."""
    settings: TrainerSettings = like.settings.model_copy(update={"home": like.settings.home / home})
    worker = make_worker(settings, traces)
    worker.attach()
    return worker


def test_a_traced_trainer_learns_bitwise_what_any_other_does(
    new_worker: MakeWorker, log_url: str, collector: Collector
) -> None:
    send(EventLog(log_url), some_events(600))
    plain = new_worker(batch_events=64)
    traces = Traces("winnow-test")
    other = traced(plain, traces, "other")
    assert isinstance(other, TracedWorker)
    assert not isinstance(plain, TracedWorker)
    while other.log.lag(other.position).entries:
        other.advance()
    while plain.log.lag(plain.position).entries:
        plain.advance()
    assert plain.account.trained == other.account.trained == 600
    mine, its = plain.learner.state(), other.learner.state()
    assert all(np.array_equal(mine[name], its[name], equal_nan=True) for name in mine)
    traces.close()
    windows = collector.spans("train")
    assert sum(int(span.about["winnow.events"]) for span in windows) == 600
    assert sum(int(span.about["winnow.batches"]) for span in windows) == len(collector.spans("step"))


def test_a_checkpoint_that_failed_is_an_error_of_its_class_and_its_windows_wait_for_the_next(
    new_worker: MakeWorker, log_url: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces = Traces("winnow-test")
    worker = traced(new_worker(), traces, "other")
    send(EventLog(log_url), some_events(50))
    until(worker.advance)
    with monkeypatch.context() as broken:
        broken.setattr(worker.claim, "cover", _away)
        with pytest.raises(LogUnavailable):
            worker.checkpoint()
    worker.checkpoint()
    traces.close()
    [window], [failed, done] = collector.spans("train"), collector.spans("checkpoint")
    assert (failed.error, failed.about["error.type"], done.error) == (True, "LogUnavailable", False)
    assert failed.links == done.links == {(window.trace_id, window.span_id)}


def test_each_line_of_the_trainer_has_its_newest_checkpoint(new_worker: MakeWorker, log_url: str) -> None:
    worker = new_worker(checkpoint_every_s=0.001, publish_every_s=80_000)
    send(EventLog(log_url), some_events(50))
    try:
        loop.run(worker, lambda: worker.checkpoint_number > 0)
        assert get_contextvars()["checkpoint"] == worker.checkpoint_number > 0
    finally:
        clear_contextvars()


def _away(*_: object) -> None:
    raise LogUnavailable("away")

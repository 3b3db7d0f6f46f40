"""Wiring of the trainer process: the one place where its parts meet."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from contract.dead_letters import DeadLetters
from contract.errors import SetupError
from contract.event_log import EventLog
from contract.journal import TIMEOUT_S, Journal
from contract.registry import Registry
from contract.telemetry import configure_logs
from contract.traces import traces_of
from trainer import loop
from trainer.checkpoint import CheckpointStore
from trainer.chronicle import Chronicle
from trainer.gate_policy import read_policy
from trainer.label_log import LabelLog
from trainer.metrics import TrainerMetrics
from trainer.publish import DeltaPolicy, Publisher
from trainer.settings import TrainerSettings
from trainer.suspects import Suspects
from trainer.traced import worker_class
from trainer.worker import Worker

if TYPE_CHECKING:
    from contract.open_telemetry import Traces


def run(settings: TrainerSettings) -> int:
    """Train until SIGTERM or SIGINT, then finish the step, checkpoint and return 0.

    Raises SetupError if no event log is named, another trainer works in this home, or traces cannot be told.
    """
    configure_logs(settings)
    stop_asked = False

    def ask_to_stop(_signal: int, _frame: object) -> None:
        nonlocal stop_asked
        stop_asked = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    traces = traces_of("winnow-trainer")
    with closing(traces) if traces else nullcontext(), only_trainer(settings.home):
        worker = make_worker(settings, traces)
        if settings.trainer_metrics_port:
            worker.metrics.serve(settings.trainer_metrics_host, settings.trainer_metrics_port)
        loop.run(worker, lambda: stop_asked)
    return 0


def make_worker(settings: TrainerSettings, traces: "Traces | None" = None) -> Worker:
    """Return a worker on this home and log, not yet attached; it is traced if there are `traces`."""
    if settings.redis_url is None:
        raise SetupError("the trainer needs an event log: set WINNOW_REDIS_URL, or start everything with `winnow up`")
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("warn")  # as use_deterministic_algorithms, which loads a compiler for seconds
    event_log = EventLog(settings.redis_url)
    return worker_class(traces)(
        settings,
        event_log,
        CheckpointStore(settings.home / "checkpoints", settings.keep_checkpoints),
        LabelLog(settings.home / "labels"),
        Publisher(
            Registry(settings.registry_directory),
            settings,
            read_policy(settings.gate_policy, settings.gate_min_events),
            settings.keep_versions,
            DeltaPolicy(whole_every_s=settings.whole_every_s, max_drift=settings.delta_max_drift),
        ),
        TrainerMetrics(settings.home),
        Suspects(settings.home / "suspects"),
        DeadLetters(event_log, settings.dead_letters_most, settings.dead_letters_days),
        Chronicle(Journal(EventLog(settings.redis_url, TIMEOUT_S)), acting=settings.meta != "none"),
    )


@contextmanager
def only_trainer(home: Path) -> Iterator[None]:
    """Hold this home's trainer lock. Raises SetupError naming the process that holds it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "trainer.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise SetupError(f"another trainer (pid {holder}) works in {home}; stop it or use another --home") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

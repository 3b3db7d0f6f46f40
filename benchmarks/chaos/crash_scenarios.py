"""The crash points as scenarios: a small trainer on a private log, killed before each durable step, some times over."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.crash_points import kill_each_checkpoint_step, kill_each_publish_step
from benchmarks.chaos.drawn import drawn
from benchmarks.chaos.parts import LogServer
from benchmarks.chaos.scenario import Effort, Outcome, scenario
from contract.blocks import encode_partitions, pieces_of
from contract.event_log import EventLog
from contract.events import Events
from contract.registry import Registry
from trainer.app import make_worker
from trainer.gates import GatePolicy
from trainer.publish import Publisher
from trainer.settings import TrainerSettings
from trainer.worker import Worker


@scenario(
    "SIGKILL before each open, fsync, rename, unlink, mkdir and send of a checkpoint",
    "the state is that before or after, and goes on bitwise equal to a run without the crash",
)
def crash_at_each_checkpoint_step(directory: Path, effort: Effort) -> Outcome:
    """Kill a checkpoint at each step: 2 times over, 20 in the long run."""
    return _times(directory, effort, kill_each_checkpoint_step)


@scenario(
    "SIGKILL before each open, fsync, rename, unlink, mkdir and send of a publication",
    "the champion file always points to a whole, verified version, and the next is promoted",
)
def crash_at_each_publish_step(directory: Path, effort: Effort) -> Outcome:
    """Kill a publication at each step: 2 times over, 20 in the long run."""
    return _times(directory, effort, kill_each_publish_step)


def _times(directory: Path, effort: Effort, kill: Callable[..., tuple[int, list[str]]]) -> Outcome:
    wrong, kills = list[str](), 0
    for turn in range(effort.of(2, 20)):
        home = directory / f"home-{turn}"
        with contextlib.closing(LogServer(directory / f"log-{turn}")) as server:
            server.start()
            url = server.url
            seed = effort.seed * 1_000 + turn
            send(url, drawn(120, seed, "a"))
            worker = small_worker(home, url)
            worker.drain()
            worker.publish()
            send(url, drawn(120, seed + 1, "b"))
            steps, found = kill(lambda home=home, url=url: small_worker(home, url), home, url)
        kills, wrong = kills + steps, wrong + found
    return Outcome(not wrong, {"kills": kills, "wrong": len(wrong)}, "; ".join(wrong[:3]))


def small_worker(home: Path, url: str) -> Worker:
    """Return an attached trainer with little memory and short windows, whose every version is promoted."""
    settings = TrainerSettings(
        home=home,
        redis_url=url,
        window_ms=10,
        user_capacity=100,
        item_capacity=100,
        dedupe_events=2_000,
        wait_events=16,
    )
    worker = make_worker(settings)
    lenient = GatePolicy(
        min_events=0,
        min_auc=0.0,
        max_ece=1.0,
        max_rate_factor=1e9,
        max_log_loss_ratio=1e9,
        max_pseudo_label_share=1.0,
        max_target_one_sidedness=1e9,
    )
    worker.publisher = Publisher(Registry(settings.registry_directory), settings, lenient, 20)
    worker.attach()
    return worker


def send(url: str, events: Events) -> None:
    """Append events in four batches, as the service does."""
    log = EventLog(url)
    for start in range(0, len(events), 30):
        log.append(encode_partitions([pieces_of(events.take(slice(start, start + 30)))]))
    log.close()

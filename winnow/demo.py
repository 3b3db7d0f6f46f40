"""`winnow demo`: a watch log through the whole loop on this machine, and a short report of what came of it."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contract.api import ModelsResponse, ScoreResponse
from contract.events import Events
from contract.registry import Registry
from trainer.checkpoint import Checkpoint, CheckpointStore
from trainer.datasets import KuaiRandLog, ReadReport, read_kuairand
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator
from winnow.client import Client
from winnow.freshness import seconds_to_served
from winnow.player import PlayReport, play
from winnow.retries import RetryPolicy
from winnow.up import Loop, stay_up

SIMULATED_EVENTS = 20_000
SIMULATED_RATE = 800.0
LOG_RATE = 2_500.0
_SETTLE_TIMEOUT_S = 60.0
_SERVED_TIMEOUT_S = 15.0  # a log too short for the gate is never served, and says so
_ENVIRONMENT = {
    "WINNOW_PUBLISH_EVERY_S": "2",
    "WINNOW_CHECKPOINT_EVERY_S": "4",
    "WINNOW_TRAINER_METRICS_PORT": "0",
    "WINNOW_LOG_JSON": "true",
    "WINNOW_APPEND_TIMEOUT_S": "5",  # a busy laptop may pause; the demo would rather wait than retry
}


@dataclass(frozen=True)
class DemoReport:
    """Everything the demo measured; its account is from the trainer's last checkpoint, not from counters."""

    played: PlayReport
    read: ReadReport | None  # of the log file, if one was played
    checkpoint: Checkpoint
    stored_twice: int  # stored once more because a reply was lost and the client sent again
    versions: int
    promoted: int
    rejected: int
    served_while_playing: int
    delays_s: npt.NDArray[np.float64]
    example: ScoreResponse
    restarts: int


class Source:
    """What the demo plays: events in time order, and how many there will be, if that is known."""

    def __init__(self, data: Path | None, features: Path | None, events: int | None, seed: int, client: Client) -> None:
        """Play the log `data`, or without it the simulator, whose viewers are shown what `client` ranks first."""
        self.log: KuaiRandLog | None = None
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self._client = client
        if data is not None:
            self.log = read_kuairand([data], features)
            self.total, self._blocks = events, (block.events for block in self.log)
        else:
            self.total = events or SIMULATED_EVENTS
            simulator = Simulator(SimulatorConfig(), seed, choose=self._choose)
            self._blocks = (block.events for block in simulator.blocks(self.total, 256))

    def __iter__(self) -> Iterator[Events]:
        left = self.total
        for events in self._blocks:
            part = events if left is None else events.take(slice(0, left))
            left = None if left is None else left - len(part)
            for counts, ids in ((self.users, part.user_id), (self.items, part.item_id)):
                for id_ in ids:
                    counts[id_] = counts.get(id_, 0) + 1
            yield part
            if left == 0:
                return

    def example(self) -> tuple[str, list[str]]:
        """Return the most active viewer and ten items: five often seen, five seldom."""
        user = max(self.users, key=self.users.__getitem__)
        by_count = sorted(self.items, key=self.items.__getitem__)
        return user, by_count[-5:] + by_count[:5]

    def _choose(self, user_id: str, candidates: list[str]) -> int:
        best = self._client.score(user_id, candidates, top_k=1).items
        return candidates.index(best[0].item_id) if best else 0


def demo(
    console: Console,
    show: Callable[[DemoReport], None],
    data: Path | None = None,
    features: Path | None = None,
    home: Path | None = None,
    events: int | None = None,
    rate_per_s: float | None = None,
    seed: int = 1,
    keep: bool = False,
) -> DemoReport:
    """Start everything, play a log or the simulator, wait until all of it is learned and served, `show` the report."""
    with _home(home, keep) as directory, Loop(directory, environment=_ENVIRONMENT, whole=False) as loop:
        console.print(f"Console: {loop.console_url}")  # at once: it shows the loop from its first event on
        with closing(Client(loop.url, policy=RetryPolicy(deadline_s=60.0))) as client:
            source = Source(data, features, events, seed, client)
            rate = rate_per_s or (LOG_RATE if data else SIMULATED_RATE)
            played = _play(console, source, client, rate)
            playing_until_ms = time.time_ns() // 1_000_000
            loop.wait_for_trainer()  # the first events waited for it in the log
            with console.status("Waiting until everything acknowledged is learned and served"):
                checkpoint = _settled(directory, played.acknowledged)
                models = _served_through(client, played)
            user, items = source.example()
            report = _report(directory, source, played, checkpoint, models, playing_until_ms, loop.restarts,
                             client.score(user, items, explain=True))  # fmt: skip
        show(report)
        if keep:
            console.print(
                f"\nStill running at {loop.url} (API: {loop.url}/openapi.json, console: {loop.console_url}), "
                f"state in {directory}. Ctrl-C stops it."
            )
            stay_up(loop)
    return report


def _play(console: Console, source: Source, client: Client, rate: float) -> PlayReport:
    columns = (
        TextColumn("Playing the watch log"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events  {task.fields[pace]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("play", total=source.total, pace="")
        return play(
            source,
            client,
            rate,
            lambda so_far: progress.update(
                task, completed=so_far.sent, pace=f"{so_far.acknowledged / max(so_far.seconds, 1e-9):,.0f}/s"
            ),
        )


def _settled(home: Path, acknowledged: int) -> Checkpoint:
    """Return the first checkpoint that covers everything acknowledged, or the last one before the time is up."""
    store = CheckpointStore(home / "checkpoints", keep=1)
    deadline = time.monotonic() + _SETTLE_TIMEOUT_S
    while True:
        files = store.files()
        if files:
            try:
                checkpoint = store.read(files[-1])
            except FileNotFoundError:  # the trainer has just replaced it
                continue
            if checkpoint.account.read >= acknowledged or time.monotonic() > deadline:
                return checkpoint
        time.sleep(0.2)


def _served_through(client: Client, played: PlayReport) -> ModelsResponse:
    """Return what was served once a version covers the last acknowledgement, or when the time is up."""
    last_ms = played.acknowledgements[-1][0] if played.acknowledgements else 0
    deadline = time.monotonic() + _SERVED_TIMEOUT_S
    while True:
        models = client.models()
        covered = any((version.trained_through_ms or 0) > last_ms for version in models.served)
        if covered or time.monotonic() > deadline:
            return models
        time.sleep(0.2)


def _report(
    home: Path,
    source: Source,
    played: PlayReport,
    checkpoint: Checkpoint,
    models: ModelsResponse,
    playing_until_ms: int,
    restarts: int,
    example: ScoreResponse,
) -> DemoReport:
    registry = Registry(home / "registry")
    quarantined = registry.quarantined()
    return DemoReport(
        played=played,
        read=source.log.report if source.log else None,
        checkpoint=checkpoint,
        stored_twice=checkpoint.account.read - played.acknowledged,
        versions=max((int(version) for version in registry.versions() + quarantined), default=0),
        promoted=len({change.version for change in registry.history()}),
        rejected=len(quarantined),
        served_while_playing=sum(
            version.served_since_ms <= playing_until_ms for version in models.served if version.trained_through_ms
        ),
        delays_s=seconds_to_served(played.acknowledgements, models.served),
        example=example,
        restarts=restarts,
    )


@contextmanager
def _home(home: Path | None, keep: bool) -> Iterator[Path]:
    """Give the demo a home: the named one, or a temporary one that goes with the demo unless it is kept."""
    if home is not None:
        yield home
        return
    directory = Path(tempfile.mkdtemp(prefix="winnow-demo-"))
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory)

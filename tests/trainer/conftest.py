"""A trainer on a real log and home, with windows short enough for tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.blocks import encode_block
from contract.event_log import EventLog
from contract.events import Action, Events, FeedbackEvent
from contract.hashing import partitions_of
from trainer.app import make_worker
from trainer.settings import TrainerSettings
from trainer.worker import Worker

MakeWorker = Callable[..., Worker]


@pytest.fixture
def new_worker(log_url: str, home: Path) -> MakeWorker:
    """A function that makes a trainer on the same home and log, as a restart does."""

    def make(**changes: object) -> Worker:
        settings = TrainerSettings.model_validate(
            {
                "home": home,
                "redis_url": log_url,
                "window_ms": 20,
                "user_capacity": 500,
                "item_capacity": 500,
                "wait_events": 64,
                "dedupe_events": 20_000,
                "trainer_metrics_port": 0,
                **changes,
            }
        )
        worker = make_worker(settings)
        worker.attach()
        return worker

    return make


def some_events(count: int, seed: int = 0, prefix: str = "e") -> Events:
    """Return watches of 50 users and 80 items; even users like even items, one watch in four."""
    random = np.random.default_rng(seed)
    users, items = random.integers(50, size=count), random.integers(80, size=count)
    likes = (users % 2 == 0) & (items % 2 == 0) & (random.random(count) < 0.25)
    return Events.from_models(
        [
            FeedbackEvent(
                event_id=f"{prefix}{n}",
                user_id=f"u{users[n]}",
                item_id=f"v{items[n]}",
                at=1_650_000_000_000 + n,
                watch_ms=int(random.integers(500, 60_000)),
                duration_ms=30_000,
                actions=[Action.LIKE] if likes[n] else [],
            )
            for n in range(count)
        ]
    )


def send(log: EventLog, events: Events, batch: int = 100) -> None:
    """Append events as the service does: one block a partition for each batch."""
    for start in range(0, len(events), batch):
        part = events.take(slice(start, start + batch))
        partition = partitions_of(part.user_key)
        log.append(
            {
                int(p): (int((partition == p).sum()), encode_block(part.take(partition == p)))
                for p in np.unique(partition)
            }
        )

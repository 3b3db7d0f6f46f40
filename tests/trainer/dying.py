"""A trainer as a process of its own, with windows short enough for tests, that dies by SIGSEGV of one item."""

from pathlib import Path

from benchmarks.chaos.deadly import run_deadly
from trainer.settings import TrainerSettings


def main(home: str, url: str) -> None:
    """Run the trainer with a learner that one item kills."""
    run_deadly(
        TrainerSettings(
            home=Path(home),
            redis_url=url,
            window_ms=20,
            poll_s=0.01,
            checkpoint_every_s=0.2,
            user_capacity=500,
            item_capacity=500,
            wait_events=64,
            dedupe_events=20_000,
            trainer_metrics_port=0,
            gate_min_events=100_000,
        )
    )

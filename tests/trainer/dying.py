"""A trainer as a process of its own, that dies by SIGSEGV when it learns the item named."""

import os
import signal
from pathlib import Path

from contract.events import Events
from trainer.app import run
from trainer.learner import Learner
from trainer.settings import TrainerSettings
from trainer.step_report import StepReport


def main(home: str, url: str, item: str) -> None:
    """Run the trainer with a learner that one item kills."""
    learn = Learner.step

    def step(learner: Learner, events: Events) -> StepReport:
        if item in events.item_id:
            os.kill(os.getpid(), signal.SIGSEGV)
        return learn(learner, events)

    Learner.step = step  # type: ignore[method-assign, assignment]
    run(
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

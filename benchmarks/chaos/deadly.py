"""A trainer that one item kills: learning it raises SIGSEGV, as a fault in a compiled library would (P8)."""

import os
import resource
import signal

from contract.events import Events
from trainer.app import run
from trainer.learner import Learner
from trainer.settings import TrainerSettings
from trainer.step_report import StepReport

DEADLY_ITEM = "deadly"


def run_deadly(settings: TrainerSettings) -> int:
    """Run the trainer with a learner that dies of `DEADLY_ITEM`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    learn = Learner.step

    def step(learner: Learner, events: Events) -> StepReport:
        if DEADLY_ITEM in events.item_id:
            os.kill(os.getpid(), signal.SIGSEGV)
        return learn(learner, events)

    Learner.step = step  # type: ignore[method-assign, assignment]
    return run(settings)

"""The learner as it runs in production: events a second of `Learner.step`, and what a step costs as tables grow."""

from collections.abc import Callable

import torch

from contract.events import Events
from models.backbone import Batch, Rows
from models.gmf import GMF, GMFConfig
from models.row_adagrad import RowAdagrad
from models.step import begin
from trainer.learner import Learner
from trainer.settings import LearnerSettings

SIDE_COLUMNS = 7
STEP_PAIRS = 1_024
STEPS = 60


def stepping(events: Events, **chosen: object) -> Callable[[], int]:
    """Return a function that steps a new learner through the events, at the settings chosen."""
    settings = LearnerSettings.model_validate({"device": "cpu", **chosen})
    parts = [
        events.take(slice(start, start + settings.batch_events))
        for start in range(0, len(events), settings.batch_events)
    ]

    def run() -> int:
        learner = Learner(settings)
        for part in parts:
            learner.step(part)
        return len(events)

    return run


def steps_on(rows: int, dim: int = 16) -> Callable[[], int]:
    """Return a function that takes `STEPS` steps of uniform random pairs on tables of `rows` users and items."""
    backbone = GMF(Rows(rows, rows, 131_072), GMFConfig(dim=dim))
    for table in (backbone.user, backbone.item, backbone.user_bias, backbone.item_bias, backbone.side):
        table.fill_(0.01)  # every page is there before anything is timed
    optimizer = RowAdagrad(backbone)
    for name in backbone.spaces:
        optimizer.excess[name].fill_(0.01)
    random = torch.Generator().manual_seed(1)

    def run() -> int:
        for _ in range(STEPS):
            user, item = (torch.randint(1, rows, (STEP_PAIRS,), generator=random) for _ in range(2))
            side = torch.randint(0, 131_072, (STEP_PAIRS, SIDE_COLUMNS), generator=random)
            step = begin(backbone, optimizer, Batch(user, item, side))
            p = torch.sigmoid(step.logits())
            step.apply(step.gradients(p - 0.5))
        return STEPS * STEP_PAIRS

    return run

"""The learner as it runs in production: events a second of `Learner.step`, and what a step costs as tables grow."""

from collections.abc import Callable

import numpy as np
import torch

from contract.events import ABSENT, Action, Events
from contract.hashing import Keys
from models.backbone import Batch, Rows
from models.gmf import GMF, GMFConfig
from models.row_adagrad import RowAdagrad
from models.step import begin
from trainer.learner import Learner
from trainer.settings import LearnerSettings

SIDE_COLUMNS = 7
STEP_PAIRS = 1_024
STEPS = 60
LEARNER_STEPS = 20


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


def learner_on(rows: int) -> Callable[[], int]:
    """Return a function that steps the full default through random events, of `rows` ids known on each side."""
    settings = LearnerSettings.model_validate({"device": "cpu", "user_capacity": rows, "item_capacity": rows})
    learner, random = Learner(settings), np.random.default_rng(1)
    users, items = (np.unique(random.integers(2, 2**63, rows + rows // 8, dtype=np.uint64))[:rows] for _ in range(2))
    for table, keys in ((learner.users, users), (learner.items, items)):
        table.see(random.permutation(keys), 0)
    counts = learner.counts
    for space in counts.rows:
        counts.tables[space][1:] = (20.0, 0.5, 20.0, 10.0, 0.5, 0.0, 20.0)  # every page is there before it is timed
        counts.last[space].fill(0)
    learner.item_side.fill(0)
    for parameter in (*learner.backbone.parameters(), *learner.optimizer.excess.values()):
        parameter.add_(0.0)

    def run() -> int:
        for _ in range(LEARNER_STEPS):
            learner.step(
                events_of(
                    random.choice(users, settings.batch_events), random.choice(items, settings.batch_events), random
                )
            )
        return LEARNER_STEPS * settings.batch_events

    return run


def events_of(user: Keys, item: Keys, random: np.random.Generator) -> Events:
    """Return watches of these users and items, one in fifty with a like. Shapes [N]."""
    count = len(user)
    nothing = np.full(count, "", dtype=object)
    return Events(
        event_key=random.integers(2, 2**63, count, dtype=np.uint64),
        user_key=user,
        item_key=item,
        at_ms=np.zeros(count, np.int64),
        watch_ms=random.integers(0, 60_000, count).astype(np.int32),
        duration_ms=random.integers(5_000, 60_000, count).astype(np.int32),
        actions=np.where(random.random(count) < 0.02, Action.LIKE.bit, 0).astype(np.uint8),
        position=np.zeros(count, np.int16),
        foreground=np.full(count, ABSENT, np.int8),
        event_id=nothing,
        user_id=nothing,
        item_id=nothing,
        surface=np.full(count, "feed", dtype=object),
        author_id=np.array([f"a{number}" for number in random.integers(0, 20_000, count)], dtype=object),
        tags=np.array([str(number) for number in random.integers(0, 50, count)], dtype=object),
        impression_id=nothing,
    )


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

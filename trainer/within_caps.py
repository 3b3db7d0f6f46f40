"""One step within the caps: what is over a cap is scored only, the rest is learned (promise P10).

What is over a cap is scored, read as evidence and logged like all else, under the model from before the step; no table,
count or queue of the learner changes by it, nor does an id get a row.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from contract.belief import sigmoid
from contract.events import Events
from models.inverse_gradient import Direction
from models.targets import inverse_dual
from trainer.labels import label_actions
from trainer.learner import Learner
from trainer.step_report import StepReport

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


def step_within(
    learner: Learner, events: Events, over: Mask, step: Callable[[Events], StepReport]
) -> Iterator[tuple[Places, StepReport]]:
    """Score events that are over a cap, then step through the rest; yield places and report of either, if it has any.

    Shape of `over`: [N], N at least 1. `step` is the learner's, or goes through it.
    """
    if not over.any():
        yield np.arange(len(events)), step(events)
        return
    capped, learned = np.flatnonzero(over), np.flatnonzero(~over)
    yield capped, score_only(learner, events.take(capped))
    if len(learned):
        yield learned, step(events.take(learned))


def score_only(learner: Learner, events: Events) -> StepReport:
    """Return the report of events, at least one, that are not learned; their target is nan."""
    count = len(events)
    predicted = learner.predict(events.user_key, events.item_key, learner.side_of(events))
    evidence = learner.evidence.tables().read(events.watch_ms, events.duration_ms, events.foreground, events.surface)
    return StepReport(
        events=events,
        evidence=evidence,
        label=label_actions(events.actions),
        logit=predicted.logit,
        score=learner.annotator.scores(predicted.logit),
        belief=learner.annotator.believe(predicted.logit, predicted.watch_counts, evidence.llr),
        watch_logit=predicted.watch_logit,
        dislike=sigmoid(predicted.dislike_logit),
        target=np.full(count, np.nan),
        held_out=np.zeros(count, np.bool_),
        capped=np.ones(count, np.bool_),
        idl_target=inverse_dual(torch.from_numpy(predicted.logit)).numpy().astype(np.float64),
        prior=learner.evidence.positive_rate,
        calibration=learner.annotator.calibration,
        decision=None,
        direction=Direction.KEEP,
    )

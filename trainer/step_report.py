"""What one step of the learner saw, before it learned from it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.events import Events
from contract.manifest import Calibration
from contract.watch import Evidence
from models.inverse_gradient import Decision, Direction

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Steered:
    """What was decided of K unlabelled examples that the backbone met in a step, columns of length K."""

    cell: npt.NDArray[np.int16]  # of the evidence, or NO_CELL
    chosen: Floats  # 1 direct, 0 keep, -1 inverse; done, or only computed where `meta` is none


@dataclass(frozen=True)
class StepReport:
    """What a step saw before it learned, columns of length N, and what it decided."""

    events: Events
    evidence: Evidence
    label: npt.NDArray[np.int8]  # POSITIVE, NEGATIVE or UNLABELLED
    logit: Floats  # from before the event was learned
    score: Floats  # calibrated probability of explicit positive feedback
    belief: Floats  # the annotator's w: given logit and evidence
    watch_logit: Floats  # of the watch quantile
    dislike: Floats  # probability that an explicit word would be a dislike
    target: Floats  # what the batch trains the event toward
    held_out: npt.NDArray[np.bool_]  # kept for the gate, never learned
    capped: npt.NDArray[np.bool_]  # over a cap: scored, never learned (see trainer.caps)
    idl_target: Floats  # paper IDL's target for each event, as a diagnostic
    prior: float
    calibration: Calibration  # as used for `score`
    decision: Decision | None  # Inverse Gradient's, where one was due
    direction: Direction  # what was done with the unlabelled part
    steered: Steered | None = None  # None where no direction was due, or nobody could judge

    def __len__(self) -> int:
        return len(self.label)

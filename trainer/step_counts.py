"""What a step saw, as counts: of labels and where they come from, of explicit actions, of kinds of watch. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.events import Action, action_names
from contract.watch import CELLS, NO_CELL, Flag
from trainer.labels import LABEL_NAMES, UNLABELLED
from trainer.step_report import StepReport

SAID, INFERRED = "said", "inferred"
BACKGROUND = "background"  # the length of the watch says nothing: nobody looked, or there was no watch
LABELS = [
    *[(name.lower(), SAID) for name in LABEL_NAMES.values()],
    *[(name, INFERRED) for name in ("positive", "negative")],
]
ACTIONS = [action.value for action in Action]
FLAGS = [*(flag.name.lower() for flag in Flag), BACKGROUND]

_HELD = np.array([[name in action_names(mask) for name in ACTIONS] for mask in range(256)], np.int64)  # [256, 7]
_LEAST_LABEL = min(LABEL_NAMES)
_FLAG_OF_CELL = np.eye(len(FLAGS), dtype=np.int64)[[len(Flag), *(cell % len(Flag) for cell in range(CELLS))]]  # [41, 5]


@dataclass(frozen=True)
class StepCounts:
    """Counts of one step; every key of the lists above is there."""

    labels: dict[
        tuple[str, str], int
    ]  # (label, source): what was said, and the pseudo-label of what nothing was said of
    actions: dict[str, int]
    flags: dict[str, int]


def counts_of(report: StepReport) -> StepCounts:
    """Count one step."""
    unsaid = report.label == UNLABELLED
    said = np.bincount(report.label - _LEAST_LABEL, minlength=len(LABEL_NAMES)).tolist()
    labels = {(name.lower(), SAID): said[value - _LEAST_LABEL] for value, name in LABEL_NAMES.items()}
    positive = int(np.count_nonzero((report.belief > report.calibration.threshold) & unsaid))
    left = labels[LABEL_NAMES[UNLABELLED].lower(), SAID] - positive
    labels |= {("positive", INFERRED): positive, ("negative", INFERRED): left}
    actions = np.bincount(report.events.actions, minlength=256) @ _HELD
    return StepCounts(
        labels,
        dict(zip(ACTIONS, actions.tolist(), strict=True)),
        dict(zip(FLAGS, by_flag(report.evidence.cell), strict=True)),
    )


def by_flag(cell: npt.NDArray[np.int16]) -> list[int]:
    """Return how many of N watches each of FLAGS has, by their cells. Shape [N] -> 5 numbers."""
    counts: list[int] = (np.bincount(cell - NO_CELL, minlength=CELLS + 1) @ _FLAG_OF_CELL).tolist()
    return counts

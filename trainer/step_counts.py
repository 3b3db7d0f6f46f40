"""What a step saw, as counts: of labels and where they come from, of explicit actions, of kinds of watch. Pure."""

from dataclasses import dataclass

import numpy as np

from contract.events import Action, action_names
from contract.watch import Flag
from trainer.labels import LABEL_NAMES, UNLABELLED
from trainer.step_report import StepReport

SAID, INFERRED = "said", "inferred"
BACKGROUND = "background"
LABELS = [
    *[(name.lower(), SAID) for name in LABEL_NAMES.values()],
    *[(name, INFERRED) for name in ("positive", "negative")],
]
ACTIONS = [action.value for action in Action]
FLAGS = [*[flag.name.lower() for flag in Flag], BACKGROUND]

_HELD = np.array([[name in action_names(mask) for name in ACTIONS] for mask in range(256)], np.int64)  # [256, 7]


@dataclass(frozen=True)
class StepCounts:
    """Counts of one step; every key of the lists above is there."""

    labels: dict[
        tuple[str, str], int
    ]  # (label, source): what was said, and the pseudo-label of what nothing was said of
    actions: dict[str, int]
    flags: dict[str, int]  # of views; one in the background says nothing by its length


def counts_of(report: StepReport) -> StepCounts:
    """Count one step."""
    label, unsaid = report.label, report.label == UNLABELLED
    labels = {(name.lower(), SAID): int((label == value).sum()) for value, name in LABEL_NAMES.items()}
    positive = int((report.belief[unsaid] > report.calibration.threshold).sum())
    labels |= {("positive", INFERRED): positive, ("negative", INFERRED): int(unsaid.sum()) - positive}
    events = report.events
    actions = np.bincount(events.actions, minlength=256) @ _HELD
    watched, behind = events.watch_ms >= 0, events.foreground == 0
    flags = np.bincount(report.evidence.flag[watched & ~behind], minlength=len(Flag)).tolist()
    return StepCounts(
        labels,
        dict(zip(ACTIONS, actions.tolist(), strict=True)),
        dict(zip(FLAGS, [*flags, int((watched & behind).sum())], strict=True)),
    )

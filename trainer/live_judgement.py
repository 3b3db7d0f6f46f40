"""Is what is served still fit to be served? Pure: figures of a window of events in, what to do out (promise P5).

Three models have scored the same events before anything was learned of them: the champion of the moment, the reference
(a whole version that was healthy) and the learner itself. AUCs are compared in pairs. A mean score is compared with the
rate of positives, and is a fault of the model only where the other model's, on the same events, is not as far off: the
rate may have moved, and where silence is not taken as a no scores lie above it by intention.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class Act(StrEnum):
    """What is to be done about the champion."""

    WAIT = "WAIT"  # too little is known
    LEAVE = "LEAVE"  # it is fit
    TELL = "TELL"  # it is not, and somebody has to look
    ROLL_BACK = "ROLL_BACK"
    LIFT = "LIFT"  # what was pinned automatically need not be any longer


@dataclass(frozen=True)
class LivePolicy:
    """Bounds of the live watch."""

    min_positives: int = 100
    max_auc_drop: float = 0.02  # below the other model on the same events, and beyond the errors
    max_behind: float = 0.05  # the same below the learner, which has learned of the events in between
    errors: float = 3.0  # standard errors; a window is looked at often, so two would be exceeded by chance now and then
    max_ratio: float = 3.0  # of mean score and rate of positives, either way, beyond the errors


@dataclass(frozen=True)
class Shown:
    """What one model made of the window."""

    auc: float
    mean_score: float


@dataclass(frozen=True)
class Against:
    """Another model on the same events."""

    shown: Shown
    ahead: float  # the AUC of the model that is judged, less this one's, on the rows that both have
    error: float  # its standard error, paired


@dataclass(frozen=True)
class LiveFigures:
    """What a window says."""

    positives: int
    rate: float  # share of positives
    champion: Shown
    learner: Against
    reference: Against | None  # None while there is none, or while it is the champion


@dataclass(frozen=True)
class LiveJudgement:
    """What to do, and why."""

    act: Act
    reasons: list[str]


def judge_live(figures: LiveFigures, policy: LivePolicy, *, pinned: bool, by_itself: bool) -> LiveJudgement:
    """Judge the champion. `by_itself` says that the trainer pinned it after a rollback of its own.

    A pin of anybody else stays: then a fault is only told.
    """
    if figures.positives < policy.min_positives:
        return LiveJudgement(Act.WAIT, [])
    learner = figures.learner
    if by_itself and learner.ahead <= 0 and not _strays(learner.shown, figures, policy):
        return LiveJudgement(
            Act.LIFT, [f"the learner's AUC is {learner.shown.auc:.4f}, {figures.champion.auc:.4f} here"]
        )
    if figures.reference is not None:
        reasons = faults(figures.champion, figures.reference, "the reference", figures, policy)
        if reasons:
            return LiveJudgement(Act.TELL if pinned else Act.ROLL_BACK, reasons)
    reasons = _behind(figures, policy)
    return LiveJudgement(Act.TELL if reasons else Act.LEAVE, reasons)


def is_healthy(figures: LiveFigures, policy: LivePolicy) -> bool:
    """Whether a candidate, here in the champion's place, may become the reference.

    It is older than the learner, so it may be a little behind it. It may not be behind the reference at all: else
    references could go down step by step.
    """
    if _behind(figures, policy):
        return False
    if figures.reference is None:
        return True
    return figures.reference.ahead >= 0 and not faults(
        figures.champion, figures.reference, "the reference", figures, policy
    )


def faults(shown: Shown, other: Against, name: str, figures: LiveFigures, policy: LivePolicy) -> list[str]:
    """Return in what a model is worse than another, by more than the policy allows and chance explains."""
    found = []
    if -other.ahead > max(policy.max_auc_drop, policy.errors * other.error):
        found.append(
            f"AUC {shown.auc:.4f} against {other.shown.auc:.4f} of {name} on {figures.positives} positives, "
            f"standard error {other.error:.4f}"
        )
    if _strays(shown, figures, policy) and not _strays(other.shown, figures, policy):
        found.append(
            f"mean score {shown.mean_score:.4g} at a rate of {figures.rate:.4g}, {name}'s is "
            f"{other.shown.mean_score:.4g}, the bound is a factor {policy.max_ratio:g}"
        )
    return found


def _behind(figures: LiveFigures, policy: LivePolicy) -> list[str]:
    """Return in what a model is worse than the learner, by more than its age explains."""
    allowed = replace(policy, max_auc_drop=policy.max_behind)
    return faults(figures.champion, figures.learner, "the learner", figures, allowed)


def _strays(shown: Shown, figures: LiveFigures, policy: LivePolicy) -> bool:
    """Whether a mean score is further from the rate than the bound, and than chance moves the rate."""
    off = abs(math.log(max(shown.mean_score, 1e-12) / figures.rate))
    return not off <= math.log(policy.max_ratio) + policy.errors / math.sqrt(figures.positives)

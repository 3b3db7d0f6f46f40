"""The gate: is a candidate fit to be served? Pure: figures in, verdict out.

REJECT means the version is wrong or worse and goes to quarantine; HOLD means it may be fine but there is not enough to
say, and the champion stays; PROMOTE means every condition holds. Every condition that fails gives a reason.
"""

import math
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of a candidate."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


@dataclass(frozen=True)
class GatePolicy:
    """Bounds of the gate."""

    min_events: int = 1_000
    min_holdout_positives: int = 30
    max_parity_gap: float = 1e-5
    max_auc_drop: float = 0.02  # below the champion on the same holdout, beyond two standard errors
    max_ece: float = 0.05
    max_log_loss_ratio: float = 1.10  # to always answering the recent rate of positives
    max_pseudo_label_share: float = 0.5
    max_target_one_sidedness: float = 10.0  # above it the targets have collapsed to one class
    max_bytes: int = 16 * 2**30


@dataclass(frozen=True)
class CandidateReport:
    """What the gate looks at; nan where there is not enough to say."""

    events: int
    finite: bool
    parity_gap: float
    holdout_positives: int
    holdout_auc: float
    champion_holdout_auc: float  # nan without a champion
    holdout_auc_error: float  # standard error of the difference
    ece: float
    log_loss: float
    prior_log_loss: float
    pseudo_label_share: float
    target_one_sidedness: float
    bytes: int


@dataclass(frozen=True)
class Judgement:
    """A verdict and its reasons."""

    verdict: Verdict
    reasons: list[str]


def judge_candidate(report: CandidateReport, policy: GatePolicy) -> Judgement:
    """Judge a candidate by every gate; the severest verdict wins."""
    rejections = [
        reason
        for fails, reason in [
            (not report.finite, "a table or an answer is not finite"),
            (
                not report.parity_gap <= policy.max_parity_gap,
                f"parity: onnxruntime is {report.parity_gap:.2g} from torch, the bound is {policy.max_parity_gap:.2g}",
            ),
            (
                report.bytes > policy.max_bytes,
                f"size: {report.bytes} bytes, the bound is {policy.max_bytes}",
            ),
            (_is_worse(report, policy), _worse_reason(report)),
        ]
        if fails
    ]
    holds = [
        reason
        for fails, reason in [
            (report.events < policy.min_events, f"{report.events} events, the least is {policy.min_events}"),
            (report.ece > policy.max_ece, f"calibration: ECE {report.ece:.4f}, the bound is {policy.max_ece}"),
            (
                report.log_loss > policy.max_log_loss_ratio * report.prior_log_loss,
                f"log loss {report.log_loss:.4f} is over {policy.max_log_loss_ratio} x the prior's "
                f"{report.prior_log_loss:.4f}",
            ),
            (
                report.pseudo_label_share > policy.max_pseudo_label_share,
                f"one-sided: {report.pseudo_label_share:.0%} of pseudo-labels are positive, "
                f"the bound is {policy.max_pseudo_label_share:.0%}",
            ),
            (
                report.target_one_sidedness > policy.max_target_one_sidedness,
                f"one-sided: the mean target is a factor {report.target_one_sidedness:.3g} from the prior, "
                f"the bound is {policy.max_target_one_sidedness:g}",
            ),
        ]
        if fails
    ]
    if rejections:
        return Judgement(Verdict.REJECT, rejections + holds)
    return Judgement(Verdict.HOLD, holds) if holds else Judgement(Verdict.PROMOTE, ["every gate holds"])


def auc_difference_error(auc: float, positives: int, negatives: int) -> float:
    """Return a bound on the standard error of the difference of two AUCs on the same examples.

    Twice the variance of one AUC, as if the two models were independent (Hanley and McNeil, Radiology 1982).
    """
    if not positives or not negatives or math.isnan(auc):
        return math.inf
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return math.sqrt(2 * max(variance, 0.0) / (positives * negatives))


def _is_worse(report: CandidateReport, policy: GatePolicy) -> bool:
    if report.holdout_positives < policy.min_holdout_positives or math.isnan(report.champion_holdout_auc):
        return False
    drop = report.champion_holdout_auc - report.holdout_auc
    return not drop <= max(policy.max_auc_drop, 2 * report.holdout_auc_error)


def _worse_reason(report: CandidateReport) -> str:
    return (
        f"quality: holdout AUC {report.holdout_auc:.4f} against the champion's {report.champion_holdout_auc:.4f} "
        f"on {report.holdout_positives} positives"
    )

"""The gate: is a candidate fit to be served? Pure: figures in, verdict out.

REJECT means the version is wrong or worse and goes to quarantine; HOLD means it may be fine but there is not enough to
say, and the champion stays; PROMOTE means every condition holds. Every condition that fails gives a reason.

A figure that is NaN holds no bound, so conditions read `not figure <= bound`. Two are NaN where there is nothing to
say, and are not asked: the champion's AUC where no champion can be opened, and the rate factor of a window without
positives. The AUC is only asked of a holdout with enough positives.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """What becomes of a candidate."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


class GatePolicy(BaseModel):
    """Bounds of the gate. NaN is none: every number has a bound of its own that NaN does not hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_events: int = Field(default=1_000, ge=0, description="HOLD with fewer events")
    min_holdout_positives: int = Field(default=30, ge=1, description="positives below which AUC and rate say nothing")
    max_parity_gap: float = Field(default=1e-5, ge=0, le=1e-3, description="REJECT where onnxruntime is further off")
    max_auc_drop: float = Field(
        default=0.02, ge=0, le=1, description="REJECT further below the champion's AUC, and beyond two standard errors"
    )
    min_auc: float = Field(
        default=0.5, ge=0, le=1, description="REJECT with a lower AUC beyond two standard errors, with no champion too"
    )
    max_ece: float = Field(default=0.05, ge=0, le=1, description="HOLD with a larger calibration error (ECE)")
    max_rate_factor: float = Field(
        default=3.0, ge=1, description="HOLD where mean score and rate of positives are further apart"
    )
    max_log_loss_ratio: float = Field(
        default=1.10, ge=0, description="HOLD above this many times the loss of always answering the rate"
    )
    max_pseudo_label_share: float = Field(default=0.5, ge=0, le=1, description="HOLD with more labels that are 1")
    max_target_one_sidedness: float = Field(
        default=10.0, ge=1, description="HOLD where targets are a larger factor from the prior: they have collapsed"
    )
    max_bytes: int = Field(default=16 * 2**30, ge=1, le=64 * 2**30, description="REJECT larger versions")


@dataclass(frozen=True)
class CandidateReport:
    """What the gate looks at; nan where a figure cannot be told."""

    events: int
    finite: bool
    parity_gap: float
    holdout_positives: int
    holdout_auc: float
    champion_holdout_auc: float  # nan without a champion
    holdout_auc_error: float  # standard error of the difference
    ece: float
    window_positives: int
    rate_factor: float  # mean score over the rate of positives in the window; nan without positives
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
            (
                _is_no_better_than_chance(report, policy),
                f"quality: holdout AUC {report.holdout_auc:.4f} on {report.holdout_positives} positives, "
                f"the bound is {policy.min_auc:g}",
            ),
        ]
        if fails
    ]
    holds = [
        reason
        for fails, reason in [
            (report.events < policy.min_events, f"{report.events} events, the least is {policy.min_events}"),
            (not report.ece <= policy.max_ece, f"calibration: ECE {report.ece:.4f}, the bound is {policy.max_ece}"),
            (
                _is_off_the_rate(report, policy),
                f"calibration: the mean score is {report.rate_factor:.3g} times the rate of positives, "
                f"the bound is a factor {policy.max_rate_factor:g}",
            ),
            (
                not report.log_loss <= policy.max_log_loss_ratio * report.prior_log_loss,
                f"log loss {report.log_loss:.4f} is over {policy.max_log_loss_ratio} x the prior's "
                f"{report.prior_log_loss:.4f}",
            ),
            (
                not report.pseudo_label_share <= policy.max_pseudo_label_share,
                f"one-sided: {report.pseudo_label_share:.0%} of pseudo-labels are positive, "
                f"the bound is {policy.max_pseudo_label_share:.0%}",
            ),
            (
                not report.target_one_sidedness <= policy.max_target_one_sidedness,
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


def _is_no_better_than_chance(report: CandidateReport, policy: GatePolicy) -> bool:
    if report.holdout_positives < policy.min_holdout_positives:
        return False
    error = report.holdout_auc_error / math.sqrt(2)  # of one AUC, where the other is known
    return not report.holdout_auc >= policy.min_auc - 2 * error


def _is_off_the_rate(report: CandidateReport, policy: GatePolicy) -> bool:
    if report.window_positives < policy.min_holdout_positives:
        return False
    return not 1 <= report.rate_factor * policy.max_rate_factor <= policy.max_rate_factor**2


def _worse_reason(report: CandidateReport) -> str:
    return (
        f"quality: holdout AUC {report.holdout_auc:.4f} against the champion's {report.champion_holdout_auc:.4f} "
        f"on {report.holdout_positives} positives"
    )

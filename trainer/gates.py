"""The gate: is a candidate fit to be served? Pure: figures in, verdict out.

REJECT means the version is wrong or worse and goes to quarantine; HOLD means it may be fine but there is not enough to
say, and the champion stays; PROMOTE means every condition holds. Every condition that fails gives a reason.

A figure that is NaN holds no bound: `figure <= bound` is false of it. Two are NaN where there is nothing to say, and
are not asked: the champion's AUC where no champion can be opened, and the rate factor of a window without positives.
The AUC is only asked of a holdout with enough positives. A gate that is not asked holds.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from contract.judgement import GateFigure, GateFigures, finite_or_none


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
class Gate:
    """One condition, asked of one candidate."""

    name: str  # the bound of GatePolicy that it asks, or `finite`
    figure: float  # what is beside the bound; nan where it is not asked or cannot be told
    bound: float
    verdict: Verdict  # what it gives where it does not hold
    holds: bool
    reason: str  # for where it does not hold


GATES = (
    "finite", "max_parity_gap", "max_bytes", "max_auc_drop", "min_auc", "min_events", "max_ece", "max_rate_factor",
    "max_log_loss_ratio", "max_pseudo_label_share", "max_target_one_sidedness",
)  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """A verdict and its reasons, and every gate behind it."""

    verdict: Verdict
    reasons: list[str]
    gates: tuple[Gate, ...]


def judge_candidate(report: CandidateReport, policy: GatePolicy) -> Judgement:
    """Judge a candidate by every gate; the severest verdict wins."""
    gates = (*_rejecting(report, policy), *_holding(report, policy))
    failed = [gate for gate in gates if not gate.holds]
    if not failed:
        return Judgement(Verdict.PROMOTE, ["every gate holds"], gates)
    rejects = any(gate.verdict is Verdict.REJECT for gate in failed)
    return Judgement(Verdict.REJECT if rejects else Verdict.HOLD, [gate.reason for gate in failed], gates)


def unfit(reason: str) -> Gate:
    """Return the gate of a learner with numbers that are not finite: nothing else is asked of it."""
    return Gate("finite", 0.0, 1.0, Verdict.REJECT, False, reason)


def _rejecting(report: CandidateReport, policy: GatePolicy) -> list[Gate]:
    """Return the gates that a version which is wrong or worse does not pass."""
    told = report.holdout_positives >= policy.min_holdout_positives
    beside = told and not math.isnan(report.champion_holdout_auc)
    drop = report.champion_holdout_auc - report.holdout_auc if beside else math.nan
    most_drop = max(policy.max_auc_drop, 2 * report.holdout_auc_error)
    least_auc = policy.min_auc - math.sqrt(2) * report.holdout_auc_error  # 2 errors of one AUC, the other is known
    reject = Verdict.REJECT
    return [
        Gate(
            "finite", float(report.finite), 1.0, reject, report.finite, "a table or an answer is not finite"
        ),
        Gate(
            "max_parity_gap", report.parity_gap, policy.max_parity_gap, reject,
            report.parity_gap <= policy.max_parity_gap,
            f"parity: onnxruntime is {report.parity_gap:.2g} from torch, the bound is {policy.max_parity_gap:.2g}",
        ),
        Gate(
            "max_bytes", report.bytes, policy.max_bytes, reject, report.bytes <= policy.max_bytes,
            f"size: {report.bytes} bytes, the bound is {policy.max_bytes}",
        ),
        Gate("max_auc_drop", drop, most_drop, reject, not beside or drop <= most_drop, _worse_reason(report)),
        Gate(
            "min_auc", report.holdout_auc if told else math.nan, least_auc, reject,
            not told or report.holdout_auc >= least_auc,
            f"quality: holdout AUC {report.holdout_auc:.4f} on {report.holdout_positives} positives, "
            f"the bound is {policy.min_auc:g}",
        ),
    ]  # fmt: skip


def _holding(report: CandidateReport, policy: GatePolicy) -> list[Gate]:
    """Return the gates that a version which may be fine does not pass yet."""
    told = report.window_positives >= policy.min_holdout_positives
    rate, most_rate, hold = report.rate_factor, policy.max_rate_factor, Verdict.HOLD
    most_loss = policy.max_log_loss_ratio * report.prior_log_loss
    return [
        Gate(
            "min_events", report.events, policy.min_events, hold, report.events >= policy.min_events,
            f"{report.events} events, the least is {policy.min_events}",
        ),
        Gate(
            "max_ece", report.ece, policy.max_ece, hold, report.ece <= policy.max_ece,
            f"calibration: ECE {report.ece:.4f}, the bound is {policy.max_ece}",
        ),
        Gate(
            "max_rate_factor", _factor(rate) if told else math.nan, most_rate, hold,
            not told or 1 <= rate * most_rate <= most_rate**2,
            f"calibration: the mean score is {rate:.3g} times the rate of positives, "
            f"the bound is a factor {most_rate:g}",
        ),
        Gate(
            "max_log_loss_ratio", report.log_loss / report.prior_log_loss if report.prior_log_loss else math.nan,
            policy.max_log_loss_ratio, hold, report.log_loss <= most_loss,
            f"log loss {report.log_loss:.4f} is over {policy.max_log_loss_ratio} x the prior's "
            f"{report.prior_log_loss:.4f}",
        ),
        Gate(
            "max_pseudo_label_share", report.pseudo_label_share, policy.max_pseudo_label_share, hold,
            report.pseudo_label_share <= policy.max_pseudo_label_share,
            f"one-sided: {report.pseudo_label_share:.0%} of pseudo-labels are positive, "
            f"the bound is {policy.max_pseudo_label_share:.0%}",
        ),
        Gate(
            "max_target_one_sidedness", report.target_one_sidedness, policy.max_target_one_sidedness, hold,
            report.target_one_sidedness <= policy.max_target_one_sidedness,
            f"one-sided: the mean target is a factor {report.target_one_sidedness:.3g} from the prior, "
            f"the bound is {policy.max_target_one_sidedness:g}",
        ),
    ]  # fmt: skip


def figures_of(judgement: Judgement) -> GateFigures:
    """Return every gate as a version carries it."""
    return GateFigures(
        gates=[
            GateFigure(
                gate=gate.name,
                figure=finite_or_none(gate.figure),
                bound=finite_or_none(gate.bound),
                verdict=gate.verdict.value,
                holds=gate.holds,
            )
            for gate in judgement.gates
        ]
    )


def auc_difference_error(auc: float, positives: int, negatives: int) -> float:
    """Return a bound on the standard error of the difference of two AUCs on the same examples.

    Twice the variance of one AUC, as if the two models were independent (Hanley and McNeil, Radiology 1982).
    """
    if not positives or not negatives or math.isnan(auc):
        return math.inf
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    return math.sqrt(2 * max(variance, 0.0) / (positives * negatives))


def _factor(ratio: float) -> float:
    """Return how far a ratio is from 1, whichever way."""
    return max(ratio, 1 / ratio) if ratio else math.inf


def _worse_reason(report: CandidateReport) -> str:
    return (
        f"quality: holdout AUC {report.holdout_auc:.4f} against the champion's {report.champion_holdout_auc:.4f} "
        f"on {report.holdout_positives} positives"
    )

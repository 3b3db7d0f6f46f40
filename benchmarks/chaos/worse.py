"""Candidates that are worse than the champion by a known AUC, before the gate."""

from statistics import NormalDist

import numpy as np

from trainer.gates import CandidateReport, GatePolicy, Verdict, auc_difference_error, judge_candidate
from trainer.metrics_math import auc

CHAMPION_AUC = 0.70
_ALIKE = 0.8  # correlation of the two models' scores


def rejected_share(positives: int, negatives: int, drop: float, times: int, seed: int) -> float:
    """Return the share of candidates, that far below a champion of AUC 0.70 in truth, which the gate rejects.

    Scores are normal, those of positives shifted so that the AUC is as said; the two models' are correlated.
    """
    random = np.random.default_rng(seed)
    said = np.arange(positives + negatives) < positives
    rejected = 0
    for _ in range(times):
        common = random.normal(size=len(said))
        ours, theirs = (
            _ALIKE**0.5 * common + (1 - _ALIKE) ** 0.5 * random.normal(size=len(said)) + _shift(truth) * said
            for truth in (CHAMPION_AUC - drop, CHAMPION_AUC)
        )
        found = auc(ours, said)
        report = CandidateReport(
            events=100_000,
            finite=True,
            parity_gap=0.0,
            holdout_positives=positives,
            holdout_auc=found,
            champion_holdout_auc=auc(theirs, said),
            holdout_auc_error=auc_difference_error(found, positives, negatives),
            ece=0.0,
            window_positives=positives,
            rate_factor=1.0,
            log_loss=0.09,
            prior_log_loss=0.1,
            pseudo_label_share=0.02,
            target_one_sidedness=1.0,
            bytes=1_000,
        )
        rejected += judge_candidate(report, GatePolicy()).verdict is Verdict.REJECT
    return rejected / times


def _shift(truth: float) -> float:
    """Return how far apart two normal distributions of deviation 1 are that have that AUC."""
    return 2**0.5 * NormalDist().inv_cdf(truth)

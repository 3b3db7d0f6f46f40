"""Pure decisions: labels, the gate, freshness."""

from dataclasses import replace

import numpy as np
import pytest

from contract.api import ServedModel
from contract.events import Action
from trainer.gates import GATES, CandidateReport, GatePolicy, Verdict, figures_of, judge_candidate
from trainer.labels import NEGATIVE, POSITIVE, UNLABELLED, label_actions
from winnow.freshness import seconds_to_served


@pytest.mark.parametrize(
    ("actions", "label"),
    [
        ([], UNLABELLED),
        ([Action.LIKE], POSITIVE),
        ([Action.FOLLOW, Action.COMMENT], POSITIVE),
        ([Action.REPORT], NEGATIVE),
        ([Action.LIKE, Action.DISLIKE], NEGATIVE),
    ],
)
def test_explicit_actions_win_and_negative_beats_positive(actions: list[Action], label: int) -> None:
    assert label_actions(np.array([sum(action.bit for action in actions)], np.uint8))[0] == label


GOOD = CandidateReport(
    events=50_000,
    finite=True,
    parity_gap=1e-7,
    holdout_positives=100,
    holdout_auc=0.75,
    champion_holdout_auc=0.75,
    holdout_auc_error=0.02,
    ece=0.002,
    window_positives=200,
    rate_factor=1.1,
    log_loss=0.09,
    prior_log_loss=0.1,
    pseudo_label_share=0.02,
    target_one_sidedness=1.0,
    bytes=1_000,
)


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, Verdict.PROMOTE, "every gate holds"),
        ({"finite": False}, Verdict.REJECT, "not finite"),
        ({"parity_gap": 1e-3}, Verdict.REJECT, "parity"),
        ({"parity_gap": float("nan")}, Verdict.REJECT, "parity"),
        ({"bytes": 2**40}, Verdict.REJECT, "size"),
        ({"holdout_auc": 0.70}, Verdict.REJECT, "quality"),
        ({"holdout_auc": 0.72}, Verdict.PROMOTE, "every gate holds"),  # within two standard errors
        ({"holdout_auc": 0.5, "holdout_positives": 10}, Verdict.PROMOTE, "every gate holds"),  # too few to say
        ({"champion_holdout_auc": float("nan")}, Verdict.PROMOTE, "every gate holds"),  # the first version
        ({"champion_holdout_auc": float("nan"), "holdout_auc": 0.4}, Verdict.REJECT, "the bound is 0.5"),
        ({"champion_holdout_auc": float("nan"), "holdout_auc": 0.48}, Verdict.PROMOTE, "every gate holds"),
        ({"champion_holdout_auc": 0.41, "holdout_auc": 0.4}, Verdict.REJECT, "the bound is 0.5"),
        ({"champion_holdout_auc": float("nan"), "holdout_auc": float("nan")}, Verdict.REJECT, "AUC nan"),
        ({"holdout_auc": float("nan")}, Verdict.REJECT, "quality"),
        ({"holdout_auc_error": float("nan"), "holdout_auc": 0.72}, Verdict.REJECT, "quality"),
        ({"ece": float("nan")}, Verdict.HOLD, "calibration"),
        ({"log_loss": float("nan")}, Verdict.HOLD, "log loss"),
        ({"prior_log_loss": float("nan")}, Verdict.HOLD, "log loss"),
        ({"pseudo_label_share": float("nan")}, Verdict.HOLD, "one-sided"),
        ({"target_one_sidedness": float("nan")}, Verdict.HOLD, "one-sided"),
        ({"rate_factor": 3.5}, Verdict.HOLD, "3.5 times the rate of positives"),
        ({"rate_factor": 0.3}, Verdict.HOLD, "0.3 times the rate of positives"),
        ({"rate_factor": float("nan")}, Verdict.HOLD, "calibration"),
        ({"rate_factor": 9.0, "window_positives": 29}, Verdict.PROMOTE, "every gate holds"),  # too few to say
        ({"events": 10}, Verdict.HOLD, "10 events"),
        ({"ece": 0.2}, Verdict.HOLD, "calibration"),
        ({"log_loss": 0.2}, Verdict.HOLD, "log loss"),
        ({"pseudo_label_share": 0.8}, Verdict.HOLD, "one-sided"),
        ({"target_one_sidedness": 40.0}, Verdict.HOLD, "factor 40 from the prior"),
    ],
)
def test_the_gate(changes: dict[str, float], verdict: Verdict, reason: str) -> None:
    judgement = judge_candidate(replace(GOOD, **changes), GatePolicy())  # type: ignore[arg-type]
    assert judgement.verdict is verdict
    assert reason in judgement.reasons[0]


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"finite": False}, "finite"),
        ({"parity_gap": float("nan")}, "max_parity_gap"),
        ({"bytes": 2**40}, "max_bytes"),
        ({"holdout_auc": 0.70}, "max_auc_drop"),
        ({"champion_holdout_auc": float("nan"), "holdout_auc": 0.4}, "min_auc"),
        ({"events": 10}, "min_events"),
        ({"ece": 0.2}, "max_ece"),
        ({"rate_factor": 0.3}, "max_rate_factor"),
        ({"log_loss": 0.2}, "max_log_loss_ratio"),
        ({"pseudo_label_share": 0.8}, "max_pseudo_label_share"),
        ({"target_one_sidedness": 40.0}, "max_target_one_sidedness"),
    ],
)
def test_a_fault_fails_the_gate_of_its_name_and_no_other(changes: dict[str, float], gate: str) -> None:
    judgement = judge_candidate(replace(GOOD, **changes), GatePolicy())  # type: ignore[arg-type]
    assert tuple(one.name for one in judgement.gates) == GATES
    (failed,) = [one for one in judgement.gates if not one.holds]
    assert (failed.name, failed.verdict, [failed.reason]) == (gate, judgement.verdict, judgement.reasons)
    assert set(GATES) - {"finite"} <= set(GatePolicy.model_fields)


def test_a_figure_and_its_bound_can_be_compared_and_what_is_not_asked_has_none() -> None:
    asked = replace(GOOD, rate_factor=0.25, champion_holdout_auc=float("nan"))
    gates = {one.gate: one for one in figures_of(judge_candidate(asked, GatePolicy())).gates}
    assert (gates["max_rate_factor"].figure, gates["max_rate_factor"].bound) == (4.0, 3.0)
    assert gates["max_log_loss_ratio"].figure == pytest.approx(0.9)
    assert (gates["max_auc_drop"].figure, gates["max_auc_drop"].holds) == (None, True)
    few = figures_of(judge_candidate(replace(asked, window_positives=3), GatePolicy())).gates
    assert next(one for one in few if one.gate == "max_rate_factor").figure is None


def test_an_event_counts_as_served_by_the_first_version_that_learned_it() -> None:
    served = [
        ServedModel(version="prior", served_since_ms=0, trained_through_ms=None),
        ServedModel(version="000001", served_since_ms=5_000, trained_through_ms=4_000),
        ServedModel(version="000002", served_since_ms=9_000, trained_through_ms=8_000),
    ]
    delays = seconds_to_served([(3_000, 2), (4_500, 1), (8_500, 1)], served)
    assert delays.tolist() == [2.0, 2.0, 4.5, float("inf")]

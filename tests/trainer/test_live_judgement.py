"""The decision of the live watch, on plain figures; and the paired test that it stands on."""

from dataclasses import replace

import numpy as np
import pytest

from trainer.live_judgement import Act, Against, LiveFigures, LivePolicy, Shown, is_healthy, judge_live
from trainer.metrics_math import auc, paired_auc

POLICY = LivePolicy()
FIT = LiveFigures(
    positives=400,
    rate=0.02,
    champion=Shown(0.70, 0.021),
    learner=Against(Shown(0.705, 0.02), -0.005, 0.004),
    reference=Against(Shown(0.69, 0.019), 0.01, 0.005),
)
GOOD_REFERENCE = Against(Shown(0.75, 0.02), -0.05, 0.005)
BAD = replace(FIT, reference=GOOD_REFERENCE)
LOUD = replace(FIT, champion=Shown(0.70, 0.2))


def act(figures: LiveFigures, *, pinned: bool = False, by_itself: bool = False) -> Act:
    return judge_live(figures, POLICY, pinned=pinned, by_itself=by_itself).act


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (FIT, Act.LEAVE),
        (BAD, Act.ROLL_BACK),
        (replace(BAD, positives=99), Act.WAIT),
        (replace(BAD, reference=replace(GOOD_REFERENCE, error=0.02)), Act.LEAVE),  # chance may be all
        (replace(BAD, reference=replace(GOOD_REFERENCE, ahead=-0.019)), Act.LEAVE),  # sure, and too little
        (replace(BAD, reference=None), Act.LEAVE),
        (LOUD, Act.ROLL_BACK),
        (replace(FIT, champion=Shown(0.70, 0.002)), Act.ROLL_BACK),
        (replace(LOUD, reference=Against(Shown(0.7, 0.2), 0.0, 0.005)), Act.TELL),  # the reference is as loud
        (replace(FIT, rate=0.2), Act.LEAVE),  # the rate has moved, for all of them
        (replace(FIT, reference=None, learner=Against(Shown(0.8, 0.02), -0.1, 0.01)), Act.TELL),
    ],
)
def test_a_champion_is_judged_by_what_is_sure_and_large(figures: LiveFigures, expected: Act) -> None:
    assert act(figures) is expected


def test_where_somebody_has_pinned_a_fault_is_only_told() -> None:
    assert act(BAD, pinned=True) is Act.TELL
    assert act(LOUD, pinned=True) is Act.TELL
    assert act(FIT, pinned=True) is Act.LEAVE


@pytest.mark.parametrize(
    ("learner", "expected"),
    [
        (Against(Shown(0.70, 0.02), 0.0, 0.01), Act.LIFT),
        (Against(Shown(0.69, 0.02), 0.01, 0.01), Act.LEAVE),  # not as good yet
        (Against(Shown(0.70, 0.2), 0.0, 0.01), Act.LEAVE),  # as good an order, and far too loud
    ],
)
def test_a_pin_of_its_own_is_lifted_when_the_learner_is_as_good(learner: Against, expected: Act) -> None:
    figures = replace(FIT, reference=None, learner=learner)
    assert act(figures, pinned=True, by_itself=True) is expected
    assert act(figures, pinned=True) is Act.LEAVE


def test_a_candidate_may_be_behind_the_learner_but_not_behind_the_reference() -> None:
    assert is_healthy(FIT, POLICY)
    behind = Against(Shown(0.74, 0.02), -0.04, 0.005)
    assert is_healthy(replace(FIT, learner=behind), POLICY)
    assert not is_healthy(replace(FIT, learner=replace(behind, ahead=-0.06)), POLICY)
    assert not is_healthy(replace(FIT, reference=Against(Shown(0.701, 0.02), -0.001, 0.005)), POLICY)
    assert not is_healthy(LOUD, POLICY)


def test_what_is_not_a_number_is_a_fault_and_lifts_nothing() -> None:
    odd = replace(FIT, champion=Shown(float("nan"), float("nan")), reference=GOOD_REFERENCE)
    assert act(odd) is Act.ROLL_BACK
    unknown = replace(FIT, reference=None, learner=Against(Shown(float("nan"), 0.02), float("nan"), float("inf")))
    assert act(unknown, pinned=True, by_itself=True) is Act.LEAVE


def test_the_error_of_a_paired_difference_is_what_repeated_draws_show() -> None:
    random = np.random.default_rng(1)
    found = []
    for _ in range(400):
        said = random.random(600) < 0.2
        common = random.normal(size=600) + said
        first, second = (common + 0.5 * random.normal(size=600) for _ in range(2))
        pair = paired_auc(first, second, said)
        assert pair.first == pytest.approx(auc(first, said), abs=1e-12)
        found.append((pair.first - pair.second, pair.error))
    drawn = np.array(found)
    assert drawn[:, 1].mean() == pytest.approx(drawn[:, 0].std(), rel=0.1)


def test_ties_count_half_and_too_few_rows_say_nothing() -> None:
    said = np.array([True, True, False, False])
    pair = paired_auc(np.zeros(4), np.arange(4.0), said)
    assert (pair.first, pair.second) == (0.5, 0.0)
    assert np.isinf(paired_auc(np.arange(3.0), np.arange(3.0), np.array([True, False, False])).error)

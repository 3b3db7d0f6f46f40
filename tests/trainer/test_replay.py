"""Offline evaluation and the running figures."""

from pathlib import Path

import numpy as np
import pytest

from contract.errors import DataError
from tests.trainer.conftest import some_events
from trainer.evaluation import evaluate_logs
from trainer.metrics_math import auc
from trainer.progressive import RunningAUC
from trainer.replay import evaluate, hide_half, play, user_days
from trainer.settings import LearnerSettings

SETTINGS = LearnerSettings(user_capacity=30_000, item_capacity=10_000)
LOG = Path("../shared/data/kuairand/log_standard_4_25_to_4_30.csv.gz")


def test_the_running_auc_is_the_exact_one() -> None:
    random, running = np.random.default_rng(0), RunningAUC()
    logit = random.normal(-4, 1, 5_000)
    positive = random.random(5_000) < 0.1 + 0.1 * (logit > -4)
    for start in range(0, 5_000, 100):
        running.add(logit[start : start + 100], positive[start : start + 100])
    assert running.value == pytest.approx(auc(logit, positive), abs=1e-3)


def test_a_slate_is_scored_under_one_state_from_before_its_day_is_learned() -> None:
    events = some_events(600)  # all of one day
    played = play(events, SETTINGS, user_days(events), lambda _: None)
    first_batch = events.take(slice(0, SETTINGS.batch_events)).user_key
    known_from_start = np.isin(events.user_key, first_batch)
    assert known_from_start.any()
    prior = np.log(0.02 / 0.98)  # the untrained model's only answer: the rate it imagines before it has seen any
    np.testing.assert_allclose(played.slate_logit[known_from_start], prior)


def test_half_of_the_positives_are_hidden_and_no_other_event() -> None:
    events = some_events(4_000)
    hidden = hide_half(events)
    assert not hidden[events.actions == 0].any()
    assert hidden[events.actions != 0].mean() == pytest.approx(0.5, abs=0.1)


def test_measuring_after_the_end_of_the_log_says_so() -> None:
    events = some_events(10)
    with pytest.raises(DataError, match="measure-from"):
        evaluate(events, np.full(10, -1, np.int8), SETTINGS, int(events.at_ms.max()) + 1, lambda _: None)


@pytest.mark.skipif(not LOG.exists(), reason=f"the KuaiRand log is not at {LOG}; kuairand.com has it")
def test_the_real_log_is_learned_from_and_hidden_positives_are_found() -> None:
    figures = evaluate_logs([LOG], None, SETTINGS, 1_651_075_200_000, lambda _: None).figures  # from 28 April
    assert figures["positives"] == 1_066
    assert figures["auc"] > 0.70
    assert figures["gauc"] > 0.55
    assert figures["recovery_auc"] > figures["auc"]  # evidence adds to what the model knows
    assert figures["recovery_ece"] < 0.005

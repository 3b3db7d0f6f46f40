"""Figures on resamples of users."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.denoising.resampling import (
    MOST_SEGMENTS,
    UserResamples,
    auc_draws,
    gauc_draws,
    group_aucs,
    resample_users,
)
from trainer.metrics_math import auc, gauc

rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), min_size=1, max_size=40)
multiplicities = st.lists(st.integers(0, 3), min_size=6, max_size=6)


@settings(deadline=None)
@given(rows, multiplicities)
def test_a_user_drawn_twice_counts_as_if_its_rows_were_there_twice(
    drawn: list[tuple[int, int, bool]], times: list[int]
) -> None:
    user, score, positive = (np.array(column) for column in zip(*drawn, strict=True))
    weights = np.array(times)
    resamples = UserResamples(user.astype(np.int64), weights[:, None].astype(np.float32))
    again = np.repeat(np.arange(len(user)), weights[user])

    found = auc_draws(score.astype(np.float32), positive, resamples)
    np.testing.assert_allclose(found, [auc(score[again].astype(np.float64), positive[again])])

    day = user * 2 + (np.arange(len(user)) % 2)
    found = gauc_draws(score.astype(np.float32), positive, day, resamples)
    copies = np.concatenate([np.arange(weights[who]) for who in user]) if len(again) else again
    by_copy = day[again] * 10 + copies  # a user drawn twice has its days twice, each judged by itself
    np.testing.assert_allclose(found, [gauc(score[again].astype(np.float64), positive[again], by_copy).value])


@given(rows)
def test_the_aucs_of_groups_average_to_gauc(drawn: list[tuple[int, int, bool]]) -> None:
    group, score, positive = (np.array(column) for column in zip(*drawn, strict=True))
    _, _, value, count = group_aucs(score.astype(np.float64), positive, group)
    judged = ~np.isnan(value)
    expected = gauc(score.astype(np.float64), positive, group).value
    mean = (value * count)[judged].sum() / count[judged].sum() if judged.any() else np.nan
    np.testing.assert_allclose(mean, expected)


def test_equal_columns_of_users_share_their_draws() -> None:
    user = np.array([7, 3, 3, 9])
    one, other = resample_users(user, 50), resample_users(user.copy(), 50)
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_array_equal(one.times.sum(0), 3)


def test_many_distinct_scores_are_binned_without_a_visible_error() -> None:
    random = np.random.default_rng(1)
    count = 4 * MOST_SEGMENTS
    score, positive = random.normal(size=count), random.random(count) < 0.5
    score += positive
    everyone_once = UserResamples(np.zeros(count, np.int64), np.ones((1, 1), np.float32))
    assert auc_draws(score, positive, everyone_once)[0] == pytest.approx(auc(score, positive), abs=1e-5)

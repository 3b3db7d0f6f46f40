"""Figures on resamples of users: how much a figure would vary had other users come.

A resample draws as many users as there are, with replacement; a user drawn k times counts k times with all rows. The
draws depend on the number of users alone, so two methods measured on the same rows share them, and a difference of
methods is paired inside each resample. Each score is sorted once; all resamples are then one sparse product: rows per
segment and user times draws per user.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

Scores = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Times = npt.NDArray[np.float32]

RESAMPLES = 1_000
SEED = 20_220_425
MOST_SEGMENTS = 8_192


@dataclass(frozen=True)
class UserResamples:
    """How often each user was drawn, and whose each row is."""

    place: Places  # [N] of the row's user
    times: Times  # [U, B] whole numbers

    def take(self, rows: Places | Mask) -> "UserResamples":
        """Return the same resamples for some of the rows."""
        return UserResamples(self.place[rows], self.times)


def resample_users(user: Groups, resamples: int = RESAMPLES) -> UserResamples:
    """Draw users. Shape [N]; equal columns of users give equal draws."""
    distinct, place = np.unique(user, return_inverse=True)
    return UserResamples(place.astype(np.int64), _times_drawn(len(distinct), resamples))


def auc_draws(score: Scores, positive: Mask, resamples: UserResamples) -> Floats:
    """Return the AUC of each resample; nan where it holds one class only. Shapes [N], [N] -> [B].

    Exact up to 8,192 segments; beyond, scores fall into as many bins of equal mass, and a pair within one counts half.
    """
    segment = _segments(score, positive)
    above, below = (_counts(segment, side, resamples) for side in (positive, ~positive))  # [S, B]
    with np.errstate(invalid="ignore"):
        middle = np.cumsum(below, axis=0) - 0.5 * below
        return np.asarray((above * middle).sum(0) / (above.sum(0) * below.sum(0)))


def gauc_draws(score: Scores, positive: Mask, group: Groups, resamples: UserResamples) -> Floats:
    """Return the GAUC of each resample: mean AUC of the groups, weighted by rows times how often their user was drawn.

    Shapes [N], [N], [N] -> [B]. A group belongs to one user; groups of one class are left out, as in `gauc`.
    """
    order, starts, value, rows = group_aucs(score, positive, group)
    judged = ~np.isnan(value)
    times = resamples.times[resamples.place[order[starts[judged]]]]  # [G, B]
    with np.errstate(invalid="ignore"):
        return np.asarray(((value * rows)[judged] @ times) / (rows[judged] @ times), np.float64)


def group_aucs(score: Scores, positive: Mask, group: Groups) -> tuple[Places, Places, Floats, Floats]:
    """Return an order by group and score, where each group starts in it, and each group's AUC (nan) and rows."""
    order = np.lexsort((score, group))
    by_group, by_score, said = group[order], score[order], positive[order].astype(np.float64)
    new_group = np.append(True, by_group[1:] != by_group[:-1])
    new_tie = new_group | np.append(True, by_score[1:] != by_score[:-1])
    starts, tie_starts = np.flatnonzero(new_group), np.flatnonzero(new_tie)
    rows = np.diff(np.append(starts, len(order))).astype(np.float64)
    tie_ends = np.append(tie_starts[1:], len(order))
    group_start = starts[np.cumsum(new_group)[tie_starts] - 1]
    middle_rank = 0.5 * (tie_starts + tie_ends + 1) - group_start  # from 1 within the group
    rank = np.repeat(middle_rank, tie_ends - tie_starts)
    positives = np.add.reduceat(said, starts)
    pairs = positives * (rows - positives)
    in_order = np.add.reduceat(said * rank, starts) - positives * (positives + 1) / 2
    value = np.divide(in_order, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return order, starts, value, rows


@lru_cache(maxsize=4)
def _times_drawn(users: int, resamples: int) -> Times:
    random = np.random.default_rng(SEED)
    drawn = [np.bincount(random.integers(0, users, users), minlength=users) for _ in range(resamples)]
    return np.ascontiguousarray(np.stack(drawn, 1).astype(np.float32))


def _segments(score: Scores, positive: Mask) -> Places:
    """Return a number for each row that rises with its score: rows that no pair tells apart share one. Shape [N].

    All negatives between two positives count alike, so a segment is a tie that holds a positive, or what lies between.
    """
    _, tie, rows = np.unique(score, return_inverse=True, return_counts=True)
    with_positive = np.bincount(tie, positive, minlength=len(rows)) > 0
    segment = np.cumsum(with_positive | np.append(True, with_positive[:-1])) - 1
    if segment[-1] < MOST_SEGMENTS:
        return np.asarray(segment[tie])
    middle = np.cumsum(rows) - 0.5 * rows
    return np.asarray((middle * MOST_SEGMENTS / len(score)).astype(np.int64)[tie])


def _counts(segment: Places, side: Mask, resamples: UserResamples) -> Floats:
    """Return how many rows of one side each segment holds in each resample. Shapes [N], [N] -> [S, B]."""
    at = torch.from_numpy(np.stack([segment[side], resamples.place[side]]))
    shape = (int(segment.max()) + 1, len(resamples.times))
    rows = torch.sparse_coo_tensor(at, torch.ones(at.shape[1]), shape, check_invariants=True).coalesce()
    return np.asarray(torch.sparse.mm(rows, torch.from_numpy(resamples.times)).numpy(), np.float64)

"""How doubtful a label is, 0..1. Pure; formulas in docs/methods.md, "Doubt".

With m the distance of the relevance from the operating threshold in log-odds, b that of the score before the watch was
known, and e = m - b what the watch added:

    unlabelled     exp(-|m|) (1 + [b and e opposed] (1 - exp(-min(|b|, |e|)))) / 2
    a word         (1 - exp(-max(0, -+m))) / 2        how far model and watch contradict it, half as telling
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_LEAST = 1e-9


def doubts(said: npt.NDArray[np.int64], score: Floats, relevance: Floats, threshold: Floats) -> Floats:
    """Return the doubt of N labels. `said` is 1, 0 or -1 for nothing. Shapes [N] -> [N]."""
    bar = log_odds(threshold)
    margin, before = log_odds(relevance) - bar, log_odds(score) - bar
    added = margin - before
    opposed = np.where(before * added < 0, np.minimum(np.abs(before), np.abs(added)), 0.0)
    unsaid = np.exp(-np.abs(margin)) * (2.0 - np.exp(-opposed)) / 2
    against = np.maximum(0.0, np.where(said == 1, -margin, margin))
    return np.where(said < 0, unsaid, (1.0 - np.exp(-against)) / 2)


def log_odds(probability: Floats) -> Floats:
    """Return log(p / (1 - p)), p kept away from 0 and 1. Shape [N]."""
    p = np.clip(probability, _LEAST, 1.0 - _LEAST)
    return np.log(p) - np.log1p(-p)

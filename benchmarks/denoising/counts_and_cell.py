"""The five-line control `counts+cell`: no model, only past rates of shown positives.

    score = logit r_user + logit r_item + logit r_decile - 2 logit g,    r = (P + 20 g) / (N + 20)

P and N are shown positives and exposures of the user, the item, the decile of the watch quantile, before this event;
g = (P + .4) / (N + 20) over all events before it. It is naive Bayes: sigmoid(score) is a probability.
"""

import numpy as np
import numpy.typing as npt

Groups = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

STRENGTH = 20.0


def counts_and_cell(user: Groups, item: Groups, quantile: Floats, shown_positive: Mask) -> Floats:
    """Return the score of each event from earlier events alone. Shapes [N] -> [N]."""
    positives, exposures = _before(np.zeros(len(user), np.int8), shown_positive)
    g = (positives + 0.4) / (exposures + STRENGTH)
    decile = np.minimum((10 * quantile).astype(np.int64), 9)
    pasts = [_before(group, shown_positive) for group in (user, item, decile)]
    return np.asarray(sum(_logit((p + STRENGTH * g) / (n + STRENGTH)) for p, n in pasts) - 2.0 * _logit(g))


def sigmoid(logit: Floats) -> Floats:
    """Return 1 / (1 + exp(-logit)) without overflow. Any shape."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def _before(group: Groups, positive: Mask) -> tuple[Floats, Floats]:
    """Return the positives and the events of the same group before each event. Shapes [N]."""
    order = np.argsort(group, kind="stable")
    new = np.append(True, group[order][1:] != group[order][:-1])
    start = np.flatnonzero(new)[np.cumsum(new) - 1]  # place of the first of each one's group
    upto = np.append(0, np.cumsum(positive[order]))[:-1]
    positives, events = np.empty(len(group)), np.empty(len(group))
    positives[order], events[order] = upto - upto[start], np.arange(len(group)) - start
    return positives, events


def _logit(rate: Floats) -> Floats:
    return np.asarray(np.log(rate) - np.log1p(-rate))

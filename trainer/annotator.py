"""The annotator: how probable it is that a viewer liked what they watched, given the model and the watch.

    w = sigmoid(a_y y + a_x LLR + a_0)

y is the logit from before the event was learned, LLR its evidence. The coefficients are refit online by Newton steps on
recent exposures, with a ridge toward (1, 1, 0), where w is Bayes' rule for a calibrated logit and independent evidence.
The score's calibration is the same fit without the evidence: score = sigmoid(scale y + offset).
"""

import numpy as np
import numpy.typing as npt

from contract.manifest import Calibration

Floats = npt.NDArray[np.float64]

RECENT_EVENTS = 60_000
REFIT_EVERY = 4_096
EARLY_REFITS = (512, 1_024, 2_048)
RIDGE = 10.0
NEWTON_STEPS = 6


def sigmoid(logit: Floats) -> Floats:
    """Return 1 / (1 + exp(-logit)) without overflow. Any shape."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def fit_logistic(features: Floats, said: Floats, start: Floats, ridge: float = RIDGE) -> Floats:
    """Return the coefficients of a logistic regression pulled toward `start`. Shapes [N, K], [N], [K] -> [K].

    Minimises sum log loss + ridge / 2 |a - start|^2 by Newton steps from `start`; the objective is strictly convex.
    """
    a = start.copy()
    for _ in range(NEWTON_STEPS):
        p = sigmoid(features @ a)
        gradient = features.T @ (p - said) + ridge * (a - start)
        curvature = (features * (p * (1.0 - p))[:, None]).T @ features + ridge * np.eye(len(a))
        a = a - np.linalg.solve(curvature, gradient)
    return a


class Annotator:
    """Coefficients of belief and calibration, and the recent exposures they are fit on."""

    def __init__(self) -> None:
        self.coefficients = np.array([1.0, 1.0, 0.0])
        self.calibration = Calibration(scale=1.0, offset=0.0, threshold=0.5)
        self._recent = np.zeros((RECENT_EVENTS, 3))  # logit, LLR, said positive
        self._count = 0

    def believe(self, logit: Floats, llr: Floats) -> Floats:
        """Return w. Shapes [N] -> [N]."""
        a_y, a_x, a_0 = self.coefficients
        return sigmoid(a_y * logit + a_x * llr + a_0)

    def scores(self, logit: Floats) -> Floats:
        """Return calibrated probabilities of explicit positive feedback. Shapes [N] -> [N]."""
        return sigmoid(self.calibration.scale * logit + self.calibration.offset)

    def count(self, logit: Floats, llr: Floats, positive: npt.NDArray[np.bool_]) -> None:
        """Remember a batch of exposures, and refit when due: at 512, 1,024, 2,048 and every 4,096th. Shapes [N]."""
        place = (self._count + np.arange(len(logit))) % RECENT_EVENTS
        self._recent[place] = np.stack([logit, llr, positive], 1)
        before, self._count = self._count, self._count + len(logit)
        if _refits_by(before) != _refits_by(self._count):
            self._refit()

    def _refit(self) -> None:
        logit, llr, said = self._recent[: min(self._count, RECENT_EVENTS)].T
        one = np.ones_like(logit)
        self.coefficients = fit_logistic(np.stack([logit, llr, one], 1), said, np.array([1.0, 1.0, 0.0]))
        scale, offset = fit_logistic(np.stack([logit, one], 1), said, np.array([1.0, 0.0]))
        scores = sigmoid(scale * logit + offset)
        threshold = float(np.quantile(scores, 1.0 - said.mean()))  # as many pseudo-labels as positives
        self.calibration = Calibration(scale=float(scale), offset=float(offset), threshold=threshold)

    def state(self) -> dict[str, Floats]:
        """Return all that `restore` needs."""
        calibration = self.calibration
        return {
            "coefficients": self.coefficients,
            "calibration": np.array([calibration.scale, calibration.offset, calibration.threshold]),
            "recent": self._recent[: min(self._count, RECENT_EVENTS)],
            "count": np.array([self._count], np.float64),
        }

    def restore(self, state: dict[str, Floats]) -> None:
        """Take over a state."""
        self.coefficients = state["coefficients"].copy()
        scale, offset, threshold = (float(value) for value in state["calibration"])
        self.calibration = Calibration(scale=scale, offset=offset, threshold=threshold)
        self._recent[: len(state["recent"])] = state["recent"]
        self._count = int(state["count"][0])


def _refits_by(count: int) -> int:
    """Return how many refits are due by the time `count` exposures have come."""
    return sum(count >= early for early in EARLY_REFITS) + count // REFIT_EVERY

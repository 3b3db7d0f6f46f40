"""Logistic regression online, by its Laplace approximation: the readout that weighs counts, watch head and backbone.

    p = sigmoid(offset + x a),   a ~ N(prior, diag(1 / ridge)) before anything was seen

Each batch adds its curvature to a decayed precision L (ridge toward the prior included) and takes one Newton step:

    L <- f L + (1 - f) L0 + X' diag(v p (1 - p)) X;    a <- a - L^-1 (X' v (p - w) + (1 - f) L0 (a - prior))

with weights v, targets w in 0..1 and f = 2^(-events / half-life). Few coefficients, so a step costs little and there is
no rate to tune: what was told seldom stays near its prior, and a feature that only adds noise is weighed down.
Source: Spiegelhalter and Lauritzen, Networks 1990, section 4; the stacking is Wolpert, Neural Networks 1992.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RIDGE = 10.0
HALF_LIFE = 1_000_000.0  # events
LARGEST_STEP = 2.0  # of a coefficient in one batch: the quadratic is an approximation


class OnlineLogistic:
    """Coefficients of one logistic regression and their precision."""

    def __init__(self, prior: Floats, ridge: float | Floats = RIDGE, half_life: float = HALF_LIFE) -> None:
        """Start at the prior. Shape [K]; `ridge` is one number, or one a coefficient."""
        self.prior = prior.astype(np.float64)
        self.coefficients = self.prior.copy()
        self.half_life = half_life
        self._ridge = np.eye(len(prior)) * ridge
        self._precision = self._ridge.copy()

    def logits(self, x: Floats, offset: Floats) -> Floats:
        """Return offset + x a. Shapes [N, K], [N] -> [N]."""
        return np.asarray(offset + x @ self.coefficients)

    def learn(self, x: Floats, offset: Floats, w: Floats, weight: Floats) -> None:
        """Take in a batch. Shapes [N, K], [N], [N], [N]; rows of weight 0 are left out."""
        if not weight.any():
            return
        p = 0.5 * (1.0 + np.tanh(0.5 * self.logits(x, offset)))
        keep = 0.5 ** (weight.sum() / self.half_life)
        curvature = x.T @ (x * (weight * p * (1.0 - p))[:, None])
        self._precision = keep * self._precision + (1.0 - keep) * self._ridge + curvature
        pull = (1.0 - keep) * self._ridge @ (self.coefficients - self.prior)
        step = np.linalg.solve(self._precision, x.T @ (weight * (p - w)) + pull)
        self.coefficients = self.coefficients - np.clip(step, -LARGEST_STEP, LARGEST_STEP)

    def state(self) -> dict[str, Floats]:
        """Return all that `restore` needs."""
        return {"coefficients": self.coefficients, "precision": self._precision}

    def restore(self, state: dict[str, Floats]) -> None:
        """Take over a state."""
        self.coefficients = np.array(state["coefficients"], np.float64)
        self._precision = np.array(state["precision"], np.float64)

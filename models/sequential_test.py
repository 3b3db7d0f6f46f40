"""When is there enough evidence for a direction? A test that may be looked at after every batch.

One observation z in -1..1 a decision arrives for a group (how far its alignment agrees). Two gamblers bet on its mean,
one that it is above 0, one that it is below:

    K+ <- K+ (1 + b z),   K- <- K- (1 - b' z),   0 <= b, b' <= 1/2 chosen from what came before

If the mean is not above 0, K+ is a supermartingale, and the chance that it ever reaches 2 / alpha is at most alpha / 2
(Ville), however often one looks. A group takes a direction once its gambler has won; until then KEEP. Afterwards both
start anew, so that a direction can be revised by as much evidence as it took.
Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Signs = npt.NDArray[np.int8]

ALPHA = 0.05
LARGEST_BET = 0.5
_PRIOR_VARIANCE = 0.25


class DirectionTest:
    """The gamblers of G groups."""

    def __init__(self, groups: int, alpha: float = ALPHA) -> None:
        """Start with KEEP everywhere."""
        self.alpha = alpha
        self.direction = np.zeros(groups, np.int8)  # 1 DIRECT, 0 KEEP, -1 INVERSE
        self._sums = np.zeros((3, groups))  # observations, sum of z, sum of z^2
        self._log_capital = np.zeros((2, groups))  # of "above 0", of "below 0"

    def observe(self, z: Floats) -> None:
        """Take in one observation a group, nan for none. Shape [G]."""
        seen = np.isfinite(z)
        value = np.where(seen, z, 0.0)
        count, total, square = self._sums
        mean = total / (count + 1.0)
        variance = (_PRIOR_VARIANCE + square) / (count + 1.0) - mean**2
        for side, sign in enumerate((1.0, -1.0)):
            bet = np.clip(sign * mean / (np.maximum(variance, 1e-3) + mean**2), 0.0, LARGEST_BET)
            self._log_capital[side] += np.where(seen, np.log1p(bet * sign * value), 0.0)
        self._sums += np.stack([seen, value, value**2])
        bound = np.log(2.0 / self.alpha)
        above, below = self._log_capital >= bound
        self.direction[above], self.direction[below] = 1, -1
        self._log_capital[:, above | below] = 0.0

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that `restore` needs."""
        return {"direction": self.direction, "sums": self._sums, "log_capital": self._log_capital}

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state."""
        self.direction = np.array(state["direction"], np.int8)
        self._sums, self._log_capital = (np.array(state[name], np.float64) for name in ("sums", "log_capital"))

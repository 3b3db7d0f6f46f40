"""The annotator: how probable it is that a viewer liked what they watched, given the model and the watch.

    w = sigmoid(a_y y + a_v v' + a_c LLR_cell + a_s LLR_surface + a_0)          (see contract.belief)

y and v' are from before the event was learned. The coefficients are refit with every batch by a Newton step on decayed
curvature, with a ridge toward (1, 0, 1/2, 1/2, 0), where w is Bayes' rule for a calibrated logit and independent
evidence. The score's calibration is the same fit without the evidence: score = sigmoid(scale y + offset).
"""

import numpy as np
import numpy.typing as npt

from contract.belief import COEFFICIENTS, relevance, sigmoid
from contract.manifest import Calibration
from models.stack import OnlineLogistic

Floats = npt.NDArray[np.float64]

RECENT_EVENTS = 20_000
THRESHOLD_EVERY = 8_192
EARLY_THRESHOLDS = (512, 1_024, 2_048, 4_096)
PRIOR = np.array([1.0, 0.0, 0.5, 0.5, 0.0])


class Annotator:
    """Coefficients of belief and calibration, and the recent scores that the threshold is cut from."""

    def __init__(self) -> None:
        assert len(PRIOR) == COEFFICIENTS
        self._belief = OnlineLogistic(PRIOR)
        self._score = OnlineLogistic(np.array([1.0, 0.0]))
        self._threshold = 0.5
        self._recent = np.zeros((RECENT_EVENTS, 2))  # score, said positive
        self._count = 0

    @property
    def coefficients(self) -> Floats:
        """Return (a_y, a_v, a_c, a_s, a_0)."""
        return self._belief.coefficients

    @property
    def calibration(self) -> Calibration:
        """Return the score's calibration and the operating threshold."""
        scale, offset = self._score.coefficients
        # Unchecked: one that is not finite must be rejected by the publisher, not end the step that reports it.
        return Calibration.model_construct(scale=float(scale), offset=float(offset), threshold=self._threshold)

    def believe(self, logit: Floats, watch_counts: Floats, llr: Floats) -> Floats:
        """Return w. Shapes [N], [N], [N, 2] -> [N]."""
        return relevance(self.coefficients, logit, watch_counts, llr)

    def scores(self, logit: Floats) -> Floats:
        """Return calibrated probabilities of explicit positive feedback. Shapes [N] -> [N]."""
        scale, offset = self._score.coefficients
        return sigmoid(scale * logit + offset)

    def learn(
        self, logit: Floats, watch_counts: Floats, llr: Floats, positive: npt.NDArray[np.bool_], weight: Floats
    ) -> None:
        """Take in a batch of exposures. Shapes [N], [N], [N, 2], [N], [N]; weight 0 leaves an exposure out."""
        said, none = positive.astype(np.float64), np.zeros(len(logit))
        one = np.ones_like(logit)
        counted = weight > 0
        place = (self._count + np.arange(int(counted.sum()))) % RECENT_EVENTS
        self._recent[place] = np.stack([self.scores(logit), said], 1)[counted]
        self._belief.learn(np.stack([logit, watch_counts, llr[:, 0], llr[:, 1], one], 1), none, said, weight)
        self._score.learn(np.stack([logit, one], 1), none, said, weight)
        before, self._count = self._count, self._count + len(place)
        if _thresholds_by(before) != _thresholds_by(self._count):
            self._cut()

    def _cut(self) -> None:
        """Put the threshold where as many pseudo-labels as positives lie above it."""
        scores, said = self._recent[: min(self._count, RECENT_EVENTS)].T
        self._threshold = float(np.quantile(scores, 1.0 - said.mean()))

    def state(self) -> dict[str, Floats]:
        """Return all that `restore` needs."""
        return {
            **{f"belief.{name}": value for name, value in self._belief.state().items()},
            **{f"score.{name}": value for name, value in self._score.state().items()},
            "threshold": np.array([self._threshold]),
            "recent": self._recent[: min(self._count, RECENT_EVENTS)],
            "count": np.array([self._count], np.float64),
        }

    def restore(self, state: dict[str, Floats]) -> None:
        """Take over a state."""
        for name, part in (("belief", self._belief), ("score", self._score)):
            part.restore({key: state[f"{name}.{key}"] for key in part.state()})
        self._threshold = float(state["threshold"][0])
        self._recent[: len(state["recent"])] = state["recent"]
        self._count = int(state["count"][0])


def _thresholds_by(count: int) -> int:
    """Return how many times the threshold is due to be cut by the time `count` exposures have come."""
    return sum(count >= early for early in EARLY_THRESHOLDS) + count // THRESHOLD_EVERY

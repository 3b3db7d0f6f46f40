"""Whether scores are spread as they were: this window of events against the one before, as a stability index.

Scores are counted in fine bins of their logit, so memory is fixed, and what is kept over a restart are two histograms.
"""

import numpy as np
import numpy.typing as npt

from trainer.metrics_math import psi_of_counts
from trainer.stateful import State

FINE_BINS = 512
LOGITS = 16.0  # on either side of 0: a probability of 1e-7
Floats = npt.NDArray[np.float64]


class ScoreDrift:
    """Compares windows of `window_events` events, one after the other."""

    def __init__(self, window_events: int) -> None:
        """Know nothing."""
        self._window_events = window_events
        self._before = np.zeros(FINE_BINS, np.int64)
        self._now = np.zeros(FINE_BINS, np.int64)
        self.value = float("nan")  # of the latest whole window; nan before the second

    def add(self, score: Floats) -> None:
        """Count the scores of a batch, probabilities. Shape [N]."""
        near = np.clip(score, 1e-7, 1 - 1e-7)
        place = ((np.log(near) - np.log1p(-near) + LOGITS) * (FINE_BINS / (2 * LOGITS))).astype(np.int64)
        self._now += np.bincount(np.clip(place, 0, FINE_BINS - 1), minlength=FINE_BINS)
        if self._now.sum() >= self._window_events:
            self.value = psi_of_counts(self._before, self._now)
            self._before, self._now = self._now, np.zeros(FINE_BINS, np.int64)

    def state(self) -> State:
        """Return what `restore` needs."""
        return {"drift.before": self._before, "drift.now": self._now, "drift.value": np.array([self.value])}

    def restore(self, state: State) -> None:
        """Take over a state; one of an earlier release has none of this."""
        if "drift.now" in state:
            self._before, self._now = np.array(state["drift.before"]), np.array(state["drift.now"])
            self.value = float(state["drift.value"][0])

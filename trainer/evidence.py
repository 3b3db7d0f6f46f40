"""Learns what a watch says: decayed watch histograms, and how often each kind of watch comes with an explicit positive.

The tables it gives (`contract.watch.WatchTables`) are what evidence is read by, here and in the service. Rates are
smoothed step by step, each toward the coarser one:

    g   = (P + 0.4) / (N + 20)
    r_q = (P_q + 200 g) / (N_q + 200);   r_c = (P_c + 200 r_q) / (N_c + 200);   LLR_c = logit r_c - logit g
    r_s = (P_s + 100 g) / (N_s + 100);   LLR_s = logit r_s - logit g

for the decile q of the quantile, the cell c (decile x flag) and the surface's decile s. An event is read against the
state before it, then counted: nothing leaks from an event into its own evidence.
"""

import numpy as np
import numpy.typing as npt

from contract.watch import (
    CELLS,
    DECILES,
    DURATION_BUCKETS,
    NO_CELL,
    SURFACE_CELLS,
    WATCH_BINS,
    Evidence,
    Flag,
    WatchTables,
)
from trainer.labels import POSITIVE

HISTOGRAM_HALF_LIFE = 20_000  # events
CELL_HALF_LIFE = 300_000  # events
CELL_STRENGTH = 200.0
SURFACE_STRENGTH = 100.0

Floats = npt.NDArray[np.float64]


class WatchEvidence:
    """Decayed counts, and the tables that they give."""

    def __init__(self) -> None:
        self._histogram = np.zeros((DURATION_BUCKETS, WATCH_BINS))
        self._cells = np.zeros((2, CELLS))  # exposures, positives
        self._surfaces = np.zeros((2, SURFACE_CELLS))
        self._all = np.zeros(2)  # exposures and positives, with a watch or without

    @property
    def positive_rate(self) -> float:
        """The smoothed rate of explicit positives among recent exposures."""
        return _smoothed(self._all)

    @property
    def positives(self) -> float:
        """How many explicit positives there were, decayed."""
        return float(self._all[1])

    def tables(self) -> WatchTables:
        """Return the tables as they are now."""
        overall = _smoothed(self._cells.sum(1))
        exposures, positives = self._cells.reshape(2, DECILES, len(Flag))
        by_decile = (positives.sum(1) + CELL_STRENGTH * overall) / (exposures.sum(1) + CELL_STRENGTH)
        by_cell = (positives + CELL_STRENGTH * by_decile[:, None]) / (exposures + CELL_STRENGTH)
        by_surface = (self._surfaces[1] + SURFACE_STRENGTH * overall) / (self._surfaces[0] + SURFACE_STRENGTH)
        base = _logit(np.array(overall))
        return WatchTables(self._histogram, (_logit(by_cell) - base).reshape(-1), _logit(by_surface) - base)

    def count(
        self,
        evidence: Evidence,
        labels: npt.NDArray[np.int8],
        weight: Floats,
    ) -> None:
        """Count a batch that has been read. Shapes [N]; `weight` says how much of an exposure each is, 0 = none."""
        watched = np.flatnonzero(np.isfinite(evidence.quantile))
        cell = evidence.bucket[watched] * WATCH_BINS + evidence.place[watched]
        self._histogram *= 0.5 ** (len(watched) / HISTOGRAM_HALF_LIFE)
        self._histogram += np.bincount(cell, minlength=self._histogram.size).reshape(self._histogram.shape)
        fade = 0.5 ** (weight.sum() / CELL_HALF_LIFE)
        self._all = self._all * fade + (weight.sum(), weight[labels == POSITIVE].sum())
        told = (evidence.cell != NO_CELL) & (weight > 0)
        fade = 0.5 ** (weight[told].sum() / CELL_HALF_LIFE)
        positive = weight * (labels == POSITIVE)
        for counts, cell in ((self._cells, evidence.cell), (self._surfaces, evidence.surface_cell)):
            counts *= fade
            for side, amount in enumerate((weight, positive)):
                counts[side] += np.bincount(cell[told], amount[told], minlength=counts.shape[1])

    def state(self) -> dict[str, Floats]:
        """Return all that `restore` needs."""
        return {"histogram": self._histogram, "cells": self._cells, "surfaces": self._surfaces, "all": self._all}

    def restore(self, state: dict[str, Floats]) -> None:
        """Take over a state."""
        self._histogram, self._cells, self._surfaces, self._all = (state[name].copy() for name in self.state())


def _smoothed(counts: Floats) -> float:
    exposures, positives = counts
    return float((positives + 0.4) / (exposures + 20.0))


def _logit(rate: Floats) -> Floats:
    return np.asarray(np.log(rate) - np.log1p(-rate))

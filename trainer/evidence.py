"""What the watch itself says: a quantile among videos of like length, a flag, and how telling the two are.

Watch time is compared with other watches of the same duration bucket (D2Q, Zhan et al., KDD 2022), because long videos
are watched longer. Quantile decile and flag make 40 cells; each cell's decayed rate of explicit positives, smoothed
toward its decile's and the global rate, gives a log likelihood ratio:

    g   = (P + 0.4) / (N + 20)
    r_q = (P_q + 200 g) / (N_q + 200);   r_c = (P_c + 200 r_q) / (N_c + 200);   LLR = logit r_c - logit g

An event is read against the state before it, then counted: nothing leaks from an event into its own evidence.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from trainer.labels import POSITIVE

DURATION_EDGES_MS = np.geomspace(5_000, 300_000, 19)  # 20 buckets, and one more for an unknown duration
UNKNOWN_DURATION = 20
WATCH_BINS = 64
WATCH_RANGE_MS = (50.0, 1_200_000.0)
HISTOGRAM_HALF_LIFE = 20_000  # events
CELL_HALF_LIFE = 100_000  # events
DECILES = 10
LONG_VIEW_MS = 18_000

Floats = npt.NDArray[np.float64]


class Flag(IntEnum):
    """What kind of watch it was."""

    NONE = 0
    SWIPE = 1
    COMPLETE = 2
    LOOP = 3


NO_CELL = -1  # an action without a view, or a view in the background, says nothing by its length


@dataclass(frozen=True)
class Evidence:
    """Evidence of a batch, columns of length N."""

    quantile: Floats  # 0..1; nan without a watch
    flag: npt.NDArray[np.int8]
    cell: npt.NDArray[np.int16]  # decile * 4 + flag, or NO_CELL
    llr: Floats  # 0 without a cell


def flags_of(watch_ms: npt.NDArray[np.int32], duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int8]:
    """Return loop (over 1.5 durations), else complete (95 %), else swipe (under 1 s or 2 %), else none. [N] -> [N]."""
    watch, duration = watch_ms.astype(np.float64), duration_ms.astype(np.float64)
    known = duration > 0
    flags = np.full(len(watch), Flag.NONE, np.int8)
    flags[watch < np.maximum(1_000.0, 0.02 * duration)] = Flag.SWIPE
    flags[known & (watch >= 0.95 * duration)] = Flag.COMPLETE
    flags[known & (watch > 1.5 * duration)] = Flag.LOOP
    return flags


def long_views(watch_ms: npt.NDArray[np.int32], duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return which watches are long views: the whole video, or 18 s of a longer one. Shape [N] -> [N]."""
    enough = np.where(duration_ms > 0, np.minimum(duration_ms, LONG_VIEW_MS), LONG_VIEW_MS)
    return watch_ms >= enough


class WatchEvidence:
    """Decayed watch histograms per duration bucket, and decayed counts per cell."""

    def __init__(self) -> None:
        self._histogram = np.zeros((UNKNOWN_DURATION + 1, WATCH_BINS))
        self._exposures = np.zeros((DECILES, len(Flag)))
        self._positives = np.zeros((DECILES, len(Flag)))

    @property
    def positive_rate(self) -> float:
        """The smoothed rate of explicit positives among recent exposures."""
        return float((self._positives.sum() + 0.4) / (self._exposures.sum() + 20.0))

    def read(
        self,
        watch_ms: npt.NDArray[np.int32],
        duration_ms: npt.NDArray[np.int32],
        foreground: npt.NDArray[np.int8],
    ) -> Evidence:
        """Return the evidence of a batch against the state so far. Shapes [N]."""
        watched = watch_ms >= 0
        bucket, bin_ = _bucket(duration_ms), _bin(watch_ms, duration_ms)
        upto = np.cumsum(self._histogram, axis=1)
        own, total = self._histogram[bucket, bin_], upto[bucket, -1]
        below = upto[bucket, bin_] - 0.5 * own
        quantile = np.divide(below, total, out=np.full(len(watch_ms), 0.5), where=total > 0)
        flag = flags_of(watch_ms, duration_ms)
        decile = np.minimum((quantile * DECILES).astype(np.int64), DECILES - 1)
        telling = watched & (foreground != 0)
        llr = np.where(telling, self.log_likelihood_ratios()[decile, flag], 0.0)
        cell = np.where(telling, decile * len(Flag) + flag, NO_CELL).astype(np.int16)
        return Evidence(np.where(watched, quantile, np.nan), flag, cell, llr)

    def count(
        self,
        watch_ms: npt.NDArray[np.int32],
        duration_ms: npt.NDArray[np.int32],
        cell: npt.NDArray[np.int16],
        labels: npt.NDArray[np.int8],
    ) -> None:
        """Count a batch that has been read. Shapes [N]; a label adds to the positives where it is POSITIVE."""
        watched = watch_ms >= 0
        self._histogram *= 0.5 ** (watched.sum() / HISTOGRAM_HALF_LIFE)
        np.add.at(self._histogram, (_bucket(duration_ms)[watched], _bin(watch_ms, duration_ms)[watched]), 1.0)
        seen = cell != NO_CELL
        fade = 0.5 ** (seen.sum() / CELL_HALF_LIFE)
        cells = len(Flag) * DECILES
        for counts, rows in ((self._exposures, cell[seen]), (self._positives, cell[seen & (labels == POSITIVE)])):
            counts *= fade
            counts += np.bincount(rows, minlength=cells).reshape(counts.shape)

    def log_likelihood_ratios(self) -> Floats:
        """Return LLR of every cell. Shape [10, 4]."""
        overall = self.positive_rate
        by_decile = (self._positives.sum(1) + 200.0 * overall) / (self._exposures.sum(1) + 200.0)
        by_cell = (self._positives + 200.0 * by_decile[:, None]) / (self._exposures + 200.0)
        return _logit(by_cell) - _logit(np.array(overall))

    def state(self) -> dict[str, Floats]:
        """Return all that `restore` needs."""
        return {"histogram": self._histogram, "exposures": self._exposures, "positives": self._positives}

    def restore(self, state: dict[str, Floats]) -> None:
        """Take over a state."""
        self._histogram, self._exposures, self._positives = (
            state[name].copy() for name in ("histogram", "exposures", "positives")
        )


def _bucket(duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.where(duration_ms > 0, np.searchsorted(DURATION_EDGES_MS, duration_ms, "right"), UNKNOWN_DURATION)


def _bin(watch_ms: npt.NDArray[np.int32], duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the log-spaced bin of min(watch, duration)."""
    capped = np.where(duration_ms > 0, np.minimum(watch_ms, duration_ms), watch_ms)
    low, high = np.log(WATCH_RANGE_MS)
    place = (np.log(np.clip(capped, *WATCH_RANGE_MS)) - low) / (high - low) * WATCH_BINS
    return np.asarray(np.minimum(place.astype(np.int64), WATCH_BINS - 1))


def _logit(rate: Floats) -> Floats:
    return np.asarray(np.log(rate) - np.log1p(-rate))

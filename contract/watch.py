"""What one watch says: its bucket of duration, its flag, its quantile, and how telling that is.

Watch time is compared with other watches of the same duration bucket (D2Q, Zhan et al., KDD 2022), because long videos
are watched longer. The decile of the quantile and the flag make 40 cells; the decile and the surface make another
table, because the same watch means different things where videos start by themselves. Each cell has a log likelihood
ratio (LLR): how much likelier an explicit positive is there than anywhere.

The trainer learns the tables (`trainer.evidence`); a version carries them, and the service reads watches by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from contract.events import Texts
from contract.remembered import Remembered

DURATION_EDGES_MS = np.geomspace(5_000, 300_000, 19)
UNKNOWN_DURATION = 20  # buckets 0..19 by the edges, and this one
DURATION_BUCKETS = UNKNOWN_DURATION + 1
WATCH_BINS = 64
WATCH_RANGE_MS = (50.0, 1_200_000.0)
DECILES = 10
SURFACES = 16  # surfaces share rows by hash
LONG_VIEW_MS = 18_000
NO_CELL = -1  # an action without a view, or a view in the background, says nothing by its length

Floats = npt.NDArray[np.float64]


class Flag(IntEnum):
    """What kind of watch it was."""

    NONE = 0
    SWIPE = 1
    COMPLETE = 2
    LOOP = 3


CELLS = DECILES * len(Flag)
SURFACE_CELLS = SURFACES * DECILES


@dataclass(frozen=True)
class Evidence:
    """Evidence of N watches, columns of length N."""

    quantile: Floats  # 0..1; nan without a watch
    flag: npt.NDArray[np.int8]
    cell: npt.NDArray[np.int16]  # decile * 4 + flag, or NO_CELL
    surface_cell: npt.NDArray[np.int16]  # surface * 10 + decile, or NO_CELL
    llr: Floats  # [N, 2]: of the cell, of the surface's decile; 0 without a cell
    bucket: npt.NDArray[np.int64]  # of the duration
    place: npt.NDArray[np.int64]  # bin of the watch within the bucket


@dataclass(frozen=True)
class WatchTables:
    """What a watch is read against."""

    histogram: Floats  # [21, 64] decayed watches by duration bucket and log-spaced bin
    cell_llr: Floats  # [40]
    surface_llr: Floats  # [160]

    def read(
        self,
        watch_ms: npt.NDArray[np.int32],
        duration_ms: npt.NDArray[np.int32],
        foreground: npt.NDArray[np.int8],
        surface: Sequence[str] | Texts,
    ) -> Evidence:
        """Return the evidence of N watches; `watch_ms` below 0 is none, `foreground` 0 the background. Shapes [N]."""
        watched = watch_ms >= 0
        bucket, place = duration_buckets(duration_ms), watch_bins(watch_ms, duration_ms)
        upto = np.cumsum(self.histogram, axis=1)
        own, total = self.histogram[bucket, place], upto[bucket, -1]
        below = upto[bucket, place] - 0.5 * own
        quantile = np.divide(below, total, out=np.full(len(watch_ms), 0.5), where=total > 0)
        flag = np.where(watched, flags_of(watch_ms, duration_ms), Flag.NONE).astype(np.int8)
        decile = np.minimum((quantile * DECILES).astype(np.int64), DECILES - 1)
        telling = watched & (foreground != 0)
        cell = decile * len(Flag) + flag
        places = _PLACES
        surface_cell = np.array([places[text] for text in surface], np.int64) * DECILES + decile
        llr = np.stack([self.cell_llr[cell], self.surface_llr[surface_cell]], 1) * telling[:, None]
        return Evidence(
            np.where(watched, quantile, np.nan),
            flag,
            np.where(telling, cell, NO_CELL).astype(np.int16),
            np.where(telling, surface_cell, NO_CELL).astype(np.int16),
            llr,
            bucket,
            place,
        )


def surface_place(surface: str) -> int:
    """Return which row of the surface table a surface has, 0..15."""
    return _PLACES[surface]


_PLACES = Remembered(lambda surface: int(xxh3_64_intdigest(surface.encode())) % SURFACES, 4_096)


def duration_buckets(duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the bucket of each duration, 0..20; 20 where it is unknown (0 or less). Shape [N] -> [N]."""
    return np.where(duration_ms > 0, np.searchsorted(DURATION_EDGES_MS, duration_ms, "right"), UNKNOWN_DURATION)


def watch_bins(watch_ms: npt.NDArray[np.int32], duration_ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return the log-spaced bin of min(watch, duration), 0..63. Shapes [N] -> [N]."""
    capped = np.where(duration_ms > 0, np.minimum(watch_ms, duration_ms), watch_ms)
    low, high = np.log(WATCH_RANGE_MS)
    place = (np.log(np.clip(capped, *WATCH_RANGE_MS)) - low) / (high - low) * WATCH_BINS
    return np.asarray(np.minimum(place.astype(np.int64), WATCH_BINS - 1))


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

"""The D2Q watch quantile, stated once more in plain NumPy, so that it can be a control of the learner's own.

Where a watch stands among recent watches of videos of like length: 20 duration buckets and one for unknown, 64
log-spaced bins of min(watch, duration) from 50 ms to 20 minutes, decayed with a half-life of 20,000 events.
Source: Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction", KDD 2022.
"""

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

_EDGES_MS = np.geomspace(5_000, 300_000, 19)
_BINS, _LOW_MS, _HIGH_MS, _HALF_LIFE = 64, 50.0, 1_200_000.0, 20_000
_BLOCK = 256  # events read before they are counted


def watch_quantiles(watch_ms: Whole, duration_ms: Whole) -> Floats:
    """Return each watch's quantile among earlier ones; 1/2 where there is no watch or none before. Shapes [N]."""
    bucket = np.where(duration_ms > 0, np.searchsorted(_EDGES_MS, duration_ms, "right"), len(_EDGES_MS) + 1)
    capped = np.where(duration_ms > 0, np.minimum(watch_ms, duration_ms), watch_ms).clip(_LOW_MS, _HIGH_MS)
    place = np.log(capped / _LOW_MS) / np.log(_HIGH_MS / _LOW_MS) * _BINS
    bin_ = np.minimum(place.astype(np.int64), _BINS - 1)
    counts, quantile = np.zeros((len(_EDGES_MS) + 2, _BINS)), np.full(len(watch_ms), 0.5)
    for start in range(0, len(watch_ms), _BLOCK):
        rows = np.flatnonzero(watch_ms[start : start + _BLOCK] >= 0) + start
        at = bucket[rows], bin_[rows]
        total = counts.sum(1)[at[0]]
        below = counts.cumsum(1)[at] - 0.5 * counts[at]
        quantile[rows] = np.divide(below, total, out=np.full(len(rows), 0.5), where=total > 0)
        counts *= 0.5 ** (len(rows) / _HALF_LIFE)
        np.add.at(counts, at, 1.0)
    return quantile

"""What views are grouped by in an audit, and what the groups are called. Pure.

A grouping gives each row of a table a code, and says of codes what they are called, in the order to show them. Surfaces
have no order and no bound: each file says its own names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.watch import DURATION_EDGES_MS, UNKNOWN_DURATION, duration_buckets
from service.archive.asked import By
from service.archive.label_rows import floats
from service.archive.watch_kinds import KINDS, kinds_of

Codes = npt.NDArray[np.int64]
NO_SURFACE = "(none)"
OTHERS = "(others)"
_POSITION_STARTS = np.array([*range(10), 10, 20, 50])
_NOT_GIVEN = len(_POSITION_STARTS)
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Grouping:
    """How to group rows: the columns it reads, and what gives each row its group."""

    columns: tuple[str, ...]
    of: Callable[[pa.Table], tuple[Codes, list[str]]]  # [N] places in the names


def _bound(ms: float) -> str:
    return f"{ms / 1000:.2g}" if ms < 100_000 else f"{ms / 1000:.0f}"


DURATIONS = [
    f"under {_bound(DURATION_EDGES_MS[0])} s",
    *(f"{_bound(low)}-{_bound(high)} s" for low, high in pairwise(DURATION_EDGES_MS)),
    f"over {_bound(DURATION_EDGES_MS[-1])} s",
    "unknown",
]
POSITIONS = [*(str(place) for place in range(10)), "10-19", "20-49", "50 and on", "not given"]
HOURS = [f"{hour:02d}:00" for hour in range(24)]
assert len(DURATIONS) == UNKNOWN_DURATION + 1


def _by_duration(table: pa.Table) -> tuple[Codes, list[str]]:
    duration = np.nan_to_num(floats(table["duration_ms"]), nan=-1.0).astype(np.int32)
    return duration_buckets(duration), DURATIONS


def _by_position(table: pa.Table) -> tuple[Codes, list[str]]:
    position = floats(table["position"])
    place = np.searchsorted(_POSITION_STARTS, np.nan_to_num(position), "right") - 1
    return np.where(np.isnan(position), _NOT_GIVEN, place).astype(np.int64), POSITIONS


def _by_surface(table: pa.Table) -> tuple[Codes, list[str]]:
    column = pc.cast(table["surface"], pa.string()).combine_chunks().dictionary_encode()
    names = [name or NO_SURFACE for name in column.dictionary.to_pylist()]
    return column.indices.to_numpy(zero_copy_only=False).astype(np.int64), names


def _by_hour(table: pa.Table) -> tuple[Codes, list[str]]:
    return table["at_ms"].to_numpy() // _HOUR_MS % 24, HOURS


def _by_flag(table: pa.Table) -> tuple[Codes, list[str]]:
    return kinds_of(table), list(KINDS)


GROUPINGS: dict[By, Grouping] = {
    "duration": Grouping(("duration_ms",), _by_duration),
    "position": Grouping(("position",), _by_position),
    "surface": Grouping(("surface",), _by_surface),
    "hour": Grouping(("at_ms",), _by_hour),
    "flag": Grouping(("flag", "cell", "watch_ms"), _by_flag),
}
ORDER: dict[By, list[str]] = {"duration": DURATIONS, "position": POSITIONS, "hour": HOURS, "flag": list(KINDS)}
"""The groups of a grouping in the order to show them; surfaces come by their views."""

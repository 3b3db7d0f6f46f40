"""Suspects of the label log: what each user or item has in each evidence cell, beside what everybody else has there.

What is over a cap counts for its user, and not for what is expected of others.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.watch import CELLS, Flag
from service.archive.asked import SuspectsAsked
from service.archive.label_files import LabelFile, LabelFiles
from service.archive.label_rows import floats, label_codes
from service.archive.noise_audit import relevance_of
from service.archive.suspect_words import Habits, why
from service.archive.suspects import FALSE_SHARE, LEAST_VIEWS, Judged, Sums, judge
from service.archive.watch_kinds import in_background

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

NO_WATCH, BACKGROUND = CELLS, CELLS + 1  # beside the cells
STRATA = CELLS + 2
_COLUMNS = ["label", "relevance", "cell", "watch_ms", "capped"]
_SUMMED = ["views", "relevance", "positive", "negative", "capped", "free", "free_w", "free_w2"]
_PLAYED = (Flag.LOOP, Flag.COMPLETE)  # kinds of watch that say most
_FLAG_OF = np.array([cell % len(Flag) for cell in range(CELLS)] + [-1, -1])  # of each stratum
_IMAGINED = 10.0  # usual views in each cell


@dataclass(frozen=True)
class PerCell:
    """Sums of M users or items in the strata they have views in. Columns [M]; `who` is a place in `ids`."""

    ids: list[str]
    who: Codes
    stratum: Codes
    sums: dict[str, Floats]

    def by_id(self, name: str, where: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Return a sum of each id, of all strata or some. Shape [ids]."""
        return self.of_each(self.sums[name] if where is None else self.sums[name] * where)

    def of_each(self, values: Floats) -> Floats:
        """Return the sum of values [M] of each id. Shape [ids]."""
        return np.asarray(np.bincount(self.who, values, len(self.ids)), np.float64)

    def is_of(self, flag: Flag) -> npt.NDArray[np.bool_]:
        """Return which strata are cells of a flag. Shape [M]."""
        return np.asarray(_FLAG_OF[self.stratum] == flag)

    def by_stratum(self, name: str) -> Floats:
        """Return a sum of each stratum. Shape [STRATA]."""
        return np.asarray(np.bincount(self.stratum, self.sums[name], STRATA), np.float64)


def suspects(files: LabelFiles, asked: SuspectsAsked) -> dict[str, Any]:
    """Return users or items far from what their watches say, the farthest first; of the list a tenth may be chance."""
    searched = files.window(asked.hours)
    tables = [
        table
        for of_hour in files.newest_first(searched, lambda file, _: _sums_of(file, f"{asked.kind}_id"))
        for table in of_hour
    ]
    cells = _per_cell(tables)
    views = cells.by_id("views")
    enough = np.flatnonzero(views >= LEAST_VIEWS)
    sums = sums_of(cells, enough)
    judged = judge(sums)
    found = np.flatnonzero(judged.q <= FALSE_SHARE)
    found = found[np.argsort(-np.abs(judged.z[found]), kind="stable")][: asked.limit]
    habits = _habits(cells)
    return {
        "rows": [_told(cells.ids[enough[one]], sums, judged, one, habits, int(enough[one])) for one in found.tolist()],
        "judged": len(enough),
        "least_views": LEAST_VIEWS,
        "false_share": FALSE_SHARE,
        "searched": searched.told(),
    }


def sums_of(cells: PerCell, chosen: Codes) -> Sums:
    """Return what there is of the chosen ids.

    What is expected in a cell is what all but the id itself have there, within the caps.
    """
    free, free_w, free_w2 = (cells.by_stratum(name) for name in ("free", "free_w", "free_w2"))
    total = max(free.sum(), 1.0)
    usual = float(free_w.sum() / total)
    at, own = cells.stratum, cells.sums
    count = free[at] - own["free"] + _IMAGINED
    mean = (free_w[at] - own["free_w"] + _IMAGINED * usual) / count
    square = (free_w2[at] - own["free_w2"] + _IMAGINED * float(free_w2.sum() / total)) / count
    views = own["views"]
    return Sums(
        cells.by_id("views")[chosen],
        cells.by_id("relevance")[chosen],
        cells.of_each(views * mean)[chosen],
        cells.of_each(views * np.maximum(square - mean**2, 0.0))[chosen],
        tuple(cells.by_id("views", cells.is_of(flag))[chosen] for flag in _PLAYED),
        usual,
        tuple(float(free[flag == _FLAG_OF].sum() / total) for flag in _PLAYED),
    )


def _sums_of(file: LabelFile, column: str) -> pa.Table:
    return _grouped([_sums_of_group(file.read(group, [column, *_COLUMNS]), column) for group in file.newest_first()])


def _sums_of_group(table: pa.Table, column: str) -> pa.Table:
    label, capped = label_codes(table["label"]), floats(table["capped"])
    w = relevance_of(label, floats(table["relevance"]), None)
    columns = {
        "views": np.ones(len(table)),
        "relevance": w,
        "positive": (label == 1).astype(np.float64),
        "negative": (label == 0).astype(np.float64),
        "capped": capped,
        "free": 1.0 - capped,
        "free_w": w * (1.0 - capped),
        "free_w2": w * w * (1.0 - capped),
    }
    return _grouped([pa.table({"id": pc.cast(table[column], pa.string()), "stratum": _strata(table), **columns})])


def _grouped(tables: list[pa.Table]) -> pa.Table:
    empty = {"id": pa.array([], pa.string()), "stratum": pa.array([], pa.int64())}
    table = pa.concat_tables(tables or [pa.table(empty | {name: pa.array([], pa.float64()) for name in _SUMMED})])
    total = table.group_by(["id", "stratum"]).aggregate([(name, "sum") for name in _SUMMED])
    return total.rename_columns([name.removesuffix("_sum") for name in total.column_names]).select(
        ["id", "stratum", *_SUMMED]
    )


def _per_cell(tables: list[pa.Table]) -> PerCell:
    table = _grouped(tables)
    ids = table["id"].combine_chunks().dictionary_encode()
    return PerCell(
        ids.dictionary.to_pylist(),
        ids.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        table["stratum"].to_numpy(),
        {name: floats(table[name]) for name in _SUMMED},
    )


def _strata(table: pa.Table) -> Codes:
    cell = np.nan_to_num(floats(table["cell"]), nan=NO_WATCH).astype(np.int64)
    return np.where(in_background(table), BACKGROUND, cell)


def _habits(cells: PerCell) -> Habits:
    kinds = {flag.name.lower(): cells.is_of(flag) for flag in Flag if flag is not Flag.NONE}
    kinds["background"] = cells.stratum == BACKGROUND
    counted = {name: cells.by_id(name) for name in ("positive", "negative", "capped")}
    return Habits(cells.by_id("views"), counted | {name: cells.by_id("views", where) for name, where in kinds.items()})


def _told(name: str, sums: Sums, judged: Judged, one: int, habits: Habits, place: int) -> dict[str, Any]:
    views, expected, observed = (float(column[one]) for column in (sums.views, sums.expected, sums.observed))
    return {
        "id": name,
        "views": int(views),
        "watch_says": round(expected / views, 6),
        "relevance": round(observed / views, 6),
        "excess": round((observed - expected) / views, 6),
        "z": round(float(judged.z[one]), 2),
        "q": float(f"{judged.q[one]:.2g}"),
        "why": why(habits, place, expected / views, observed / views),
    }

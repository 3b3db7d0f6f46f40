"""Which users and items were seen of late: for the search box, and pairs to compare versions on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.archive.asked import IdsAsked
from service.archive.label_files import LabelFile, LabelFiles

_PAIR_ROWS = 200_000  # of the newest rows, that pairs are drawn from
Pair = tuple[str, str, str]  # user, item, surface


@dataclass(frozen=True)
class Counted:
    """How many rows of a file each id has."""

    table: pa.Table  # id, events

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return int(self.table.nbytes)


def recent_ids(files: LabelFiles, asked: IdsAsked) -> dict[str, Any]:
    """Return ids with their events, the most active first."""
    column, searched = f"{asked.kind}_id", files.window(asked.hours)
    parts = files.aggregates(searched, ("ids", column), lambda file: _counted(file, column))
    table = summed([part.table for part in parts])
    if asked.like:
        table = table.filter(pc.match_substring(table["id"], asked.like, ignore_case=True))
    table = table.take(pc.sort_indices(table, [("events", "descending"), ("id", "ascending")])[: asked.limit])
    return {"ids": table.to_pylist(), "searched": searched.told()}


def pairs(files: LabelFiles, count: int, hours: float) -> list[Pair]:
    """Return up to `count` different pairs of user, item and surface, drawn from the newest rows."""
    tables: list[pa.Table] = []
    for of_hour in files.newest_first(files.window(hours), lambda file, _: _newest_pairs(file), _is_plenty):
        tables += of_hour
        if _is_plenty(tables):
            break
    if not tables:
        return []
    distinct = pa.concat_tables(tables).group_by(list(_PAIR)).aggregate([]).sort_by([(n, "ascending") for n in _PAIR])
    chosen = np.random.default_rng(0).permutation(len(distinct))[:count]
    return [(row["user_id"], row["item_id"], row["surface"]) for row in distinct.take(pa.array(chosen)).to_pylist()]


_PAIR = ("user_id", "item_id", "surface")


def summed(tables: list[pa.Table]) -> pa.Table:
    """Return one row an id with the sums of all other columns, which are named as before."""
    table = pa.concat_tables(
        tables or [pa.table({"id": pa.array([], pa.string()), "events": pa.array([], pa.int64())})]
    )
    names = [name for name in table.column_names if name != "id"]
    total = table.group_by("id").aggregate([(name, "sum") for name in names])
    return total.rename_columns([name.removesuffix("_sum") for name in total.column_names]).select(["id", *names])


def _counted(file: LabelFile, column: str) -> Counted:
    tables = []
    for group in file.newest_first():
        counts = pc.value_counts(pc.cast(file.read(group, [column])[column], pa.string()))
        tables.append(pa.table({"id": counts.field("values"), "events": counts.field("counts")}))
    return Counted(summed(tables))


def _newest_pairs(file: LabelFile) -> pa.Table:
    tables = []
    for group in file.newest_first():
        table = file.read(group, list(_PAIR))
        tables.append(table.cast(pa.schema([(name, pa.string()) for name in _PAIR])))
        if _is_plenty(tables):
            break
    return pa.concat_tables(tables)


def _is_plenty(tables: list[pa.Table]) -> bool:
    return sum(len(table) for table in tables) > _PAIR_ROWS

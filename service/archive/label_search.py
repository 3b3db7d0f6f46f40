"""Finding rows of the label log: the newest first, or the most doubtful."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.label_files import COLUMNS
from service.archive.asked import LabelsAsked
from service.archive.label_files import LabelFile, LabelFiles
from service.archive.label_rows import DOUBT_COLUMNS, doubt_of, floats, shown
from service.archive.watch_kinds import KINDS, kinds_of

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """Rows of one file with the order they come in: the greatest first."""

    rows: pa.Table
    rank: npt.NDArray[np.float64]  # [N]


def search(files: LabelFiles, asked: LabelsAsked) -> dict[str, Any]:
    """Return the rows asked for, what was searched, and whether there are more."""
    searched, found = files.window(asked.hours), Found(_nothing(), np.zeros(0))
    most = 1 if asked.event else asked.limit + 1

    def is_enough(of_hour: list[Found]) -> bool:
        return asked.order == "newest" and sum(len(part.rows) for part in of_hour) >= most

    for of_hour in files.newest_first(searched, lambda file, _: _in_file(file, asked, most), is_enough):
        found = _best([found, *of_hour], most)
        if is_enough([found]):
            break
    kept = found.rows.slice(0, asked.limit)
    more = len(found.rows) > asked.limit or searched.stopped
    return {"rows": shown(kept), "searched": searched.told(), "more": more}


def matching(file: LabelFile, asked: LabelsAsked) -> Iterator[tuple[int, Places]]:
    """Yield the row groups with rows that are asked for, the newest first, and the places of those in them."""
    for group in file.newest_first():
        places = _places(file, group, asked)
        if len(places):
            yield group, places


def _in_file(file: LabelFile, asked: LabelsAsked, most: int) -> Found:
    return _doubtful(file, asked, most) if asked.order == "doubtful" else _newest(file, asked, most)


def _newest(file: LabelFile, asked: LabelsAsked, most: int) -> Found:
    found = Found(_nothing(), np.zeros(0))
    for group, places in matching(file, asked):
        rows = _rows(file, group, places[::-1][: most - len(found.rows)])
        found = _best([found, Found(rows, floats(rows["acknowledged_ms"]))], most)
        if len(found.rows) >= most:
            break
    return found


def _doubtful(file: LabelFile, asked: LabelsAsked, most: int) -> Found:
    found = Found(_nothing(), np.zeros(0))
    for group, places in matching(file, asked):
        doubt = doubt_of(file.read(group, DOUBT_COLUMNS))[places]
        first = np.argsort(-doubt, kind="stable")[:most]
        bar = found.rank[-1] if len(found.rank) >= most else -1.0
        first = first[doubt[first] > bar]
        if len(first):
            found = _best([found, Found(_rows(file, group, places[first]), doubt[first])], most)
    return found


def _rows(file: LabelFile, group: int, places: Places) -> pa.Table:
    return plain(file.read(group, list(COLUMNS)).take(pa.array(places)))


def _best(parts: list[Found], most: int) -> Found:
    rows = pa.concat_tables([part.rows for part in parts])
    rank = np.concatenate([part.rank for part in parts])
    order = np.argsort(-rank, kind="stable")[:most]
    return Found(rows.take(pa.array(order)), rank[order])


def _places(file: LabelFile, group: int, asked: LabelsAsked) -> Places:
    """Return which rows of a group are asked for, by reading no more columns than it takes."""
    equal = {"user_id": asked.user, "item_id": asked.item, "event_id": asked.event, "surface": asked.surface}
    equal |= {"label": asked.label.upper() if asked.label else None}
    wanted = {name: value for name, value in equal.items() if value is not None}
    columns = [*wanted, *(["flag", "cell", "watch_ms"] if asked.flag else [])]
    if not columns:
        return np.arange(len(file.read(group, ["at_ms"])))
    table = file.read(group, columns)
    mask = np.ones(len(table), np.bool_)
    for name, value in wanted.items():
        mask &= _is(table[name], value)
    return np.flatnonzero(mask & _flagged(table, asked.flag)) if asked.flag else np.flatnonzero(mask)


def _flagged(table: pa.Table, flag: str) -> npt.NDArray[np.bool_]:
    return np.asarray(kinds_of(table) == KINDS.index(flag))


def _is(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.equal(column, value), False).to_numpy(), np.bool_)


def plain(table: pa.Table) -> pa.Table:
    """Return a table without dictionaries, of the types that `SCHEMA` states, so that files can be put together."""
    return table.cast(SCHEMA)


_TEXT = {"event_id", "user_id", "item_id", "actions", "surface", "flag", "label", "direction"}
_TYPES = {
    **dict.fromkeys(["at_ms", "acknowledged_ms"], pa.int64()),
    **dict.fromkeys(["watch_ms", "duration_ms", "checkpoint"], pa.int32()),
    **dict.fromkeys(["position", "cell"], pa.int16()),
    **dict.fromkeys(["threshold", "idl_target"], pa.float32()),
    **dict.fromkeys(["held_out", "capped"], pa.bool_()),
    "pseudo_label": pa.int8(),
}
SCHEMA = pa.schema([(name, pa.string() if name in _TEXT else _TYPES.get(name, pa.float64())) for name in COLUMNS])


def _nothing() -> pa.Table:
    return SCHEMA.empty_table()

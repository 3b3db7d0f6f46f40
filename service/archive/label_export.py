"""Rows of the label log, and the figures of an audit, as files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from contract.label_files import COLUMNS
from service.archive.asked import MOST_EXPORTED, LabelsAsked
from service.archive.label_files import LabelFile, LabelFiles
from service.archive.label_search import SCHEMA, matching, plain


def export_rows(files: LabelFiles, asked: LabelsAsked, out: Path, most: int = MOST_EXPORTED) -> int:
    """Write the rows asked for to a .parquet or .csv file, hour by hour, the newest hour first; return how many.

    At most `most` rows go out. `order` and `limit` of what is asked do not matter.
    """
    searched, written = files.window(asked.hours), 0
    with _writer(out) as writer:
        writer.write_table(SCHEMA.empty_table())
        for of_hour in files.newest_first(searched, lambda file, _: list(_tables(file, asked, most))):
            for table in (table for of_file in of_hour for table in of_file):
                writer.write_table(table.slice(0, most - written))
                written = min(most, written + len(table))
            if written >= most:
                break
    return written


def write_figures(rows: list[dict[str, Any]], out: Path) -> int:
    """Write rows of an audit to a .csv file; return how many."""
    pacsv.write_csv(pa.Table.from_pylist(rows), out)
    return len(rows)


def _tables(file: LabelFile, asked: LabelsAsked, most: int) -> Iterator[pa.Table]:
    left = most
    for group, places in matching(file, asked):
        newest = places[::-1][:left]
        if len(newest):
            yield plain(file.read(group, list(COLUMNS)).take(pa.array(np.asarray(newest))))
        left -= len(newest)


def _writer(out: Path) -> Any:
    if out.suffix == ".csv":
        return pacsv.CSVWriter(out, SCHEMA)
    return pq.ParquetWriter(out, SCHEMA, compression="zstd")

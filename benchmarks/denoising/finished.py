"""Finished cells on disk, and all of them in one Parquet.

A cell is two files named by its key: `KEY.npz` holds draws and columns, `KEY.json` the figures. The second is written
last and each is renamed into place, so a cell whose `.json` is there is whole, and a run that was stopped goes on where
it was. The Parquet is tidy: one row a figure, with its draws where the figure was resampled.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.denoising.grid import Cell
from benchmarks.denoising.measured import Measured
from benchmarks.denoising.method import default_method

SCHEMA = pa.schema(
    [
        ("protocol", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("target", pa.string()),
        ("meta", pa.string()),
        ("backbone", pa.string()),
        ("cascade", pa.bool_()),
        ("is_control", pa.bool_()),
        ("is_default", pa.bool_()),
        ("seed", pa.int64()),
        ("figure", pa.string()),
        ("value", pa.float64()),
        ("draws", pa.list_(pa.float32())),
        ("key", pa.string()),
    ]
)
ABOUT = b"winnow"  # name of the metadata entry


@dataclass(frozen=True)
class FinishedCells:
    """A directory of finished cells."""

    directory: Path

    def has(self, key: str) -> bool:
        """Whether a cell is finished."""
        return self._path(key, "json").exists()

    def add(self, key: str, measured: Measured) -> None:
        """Keep what was measured."""
        self.directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"draws/{name}": draws.astype(np.float32) for name, draws in measured.draws.items()}
        arrays |= {f"column/{name}": column.astype(np.float32) for name, column in measured.columns.items()}
        packed, said = self._path(key, "npz"), self._path(key, "json")
        with (partly := packed.with_suffix(".tmp")).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        os.replace(partly, packed)
        partly = said.with_suffix(".json.tmp")
        partly.write_text(json.dumps(measured.figures))
        os.replace(partly, said)

    def figures(self, key: str) -> dict[str, float]:
        """Return the figures of a finished cell."""
        return dict(json.loads(self._path(key, "json").read_text()))

    def arrays(self, key: str, kind: str) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        """Return its arrays of a kind, `draws` or `column`, by name."""
        with np.load(self._path(key, "npz"), allow_pickle=False) as packed:
            return {name.split("/", 1)[1]: packed[name] for name in packed.files if name.startswith(f"{kind}/")}

    def _path(self, key: str, suffix: str) -> Path:
        return self.directory / f"{key}.{suffix}"


def write_parquet(
    path: Path, cells: Sequence[tuple[Cell, str]], finished: FinishedCells, about: Mapping[str, Any]
) -> int:
    """Write all that is finished among the cells and their keys, with facts about the run. Returns the cells found."""
    default = default_method()
    done = [(cell, key) for cell, key in cells if finished.has(key)]
    rows = []
    for cell, key in done:
        draws = finished.arrays(key, "draws")
        method = cell.method
        shared = {
            "protocol": cell.condition.protocol,
            "condition": cell.condition.title,
            "method": method.name,
            "target": method.target,
            "meta": method.meta,
            "backbone": method.backbone,
            "cascade": method.cascade,
            "is_control": method.is_control,
            "is_default": method == default,
            "seed": cell.seed,
            "key": key,
        }
        for name, value in finished.figures(key).items():
            rows.append({**shared, "figure": name, "value": value, "draws": draws.get(name)})
    table = pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata({ABOUT: json.dumps(about).encode()})
    partly = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, partly)
    os.replace(partly, path)
    return len(done)

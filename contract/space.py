"""The rows of a version: what users, items and side features bring to a score, in memory-mapped tables.

A version has three spaces, `users`, `items` and `sides`. In each a row has two terms, what it adds to the logit and
what it adds to the watch logit, and where the backbone reads one, a vector. Tables stand outside the graph: a score
takes rows from them, and the graph sees only those. So the processes of a machine share one copy in the page cache, a
swap copies nothing, and the memory of a version is back when its last request ends.

A version is whole or a delta. A delta stands on one whole version, its base, and carries the rows that have changed
since; nothing is ever written into a table that is served, so a request on an older version reads what it always read.
In a delta's space, row r of the base is numbered r, and the k-th row that the delta carries is numbered R + k, R being
the rows of the base; row 0 of a delta's own tables is every unknown id. Files of a space, little-endian:

    <space>.terms.bin     float32 [rows, 2]
    <space>.vectors.bin   float32 [rows, width], where the width is not 0
    <space>.keys.bin      uint64, and
    <space>.rows.bin      int32: the index from id keys to rows (contract.hash_index); not for `sides`, whose rows are
                          hashes of what they stand for (contract.side). In a delta: of the ids that came since
    <space>.changed.bin   int32 [C, 2], in a delta only: rows of the base, rising, and the own row that replaces each; 0
                          where an id has lost its row
"""

import math
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from contract.errors import VersionCorrupt
from contract.hash_index import LEAST_SLOTS, MISSING, HashIndex
from contract.hashing import Keys

Rows = npt.NDArray[np.int32]
RowNumbers = Rows | npt.NDArray[np.int64]
Table = npt.NDArray[np.float32]

SPACES = ("users", "items", "sides")
TERMS = 2  # explicit, watch
EXPLICIT, WATCH = 0, 1
AS_IN_BASE = -1
NO_ROWS = np.zeros(0, np.int32)
MAX_ROWS = 2**31 - 1
MAX_WIDTH = 4_096
MAX_NUMBER = 1e4  # of a table: logits are of a few units, so beyond it a number is a fault, finite or not
FULLEST = 0.75  # share of an index's slots that may be taken
_KIND = {"terms": "<f4", "vectors": "<f4", "keys": "<u8", "rows": "<i4", "changed": "<i4"}


class SpaceShape(BaseModel):
    """The sizes of a space's own files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(ge=1, le=MAX_ROWS, description="rows of the tables, row 0 (unknown, or nothing) included")
    width: int = Field(ge=0, le=MAX_WIDTH, description="numbers in a vector, 0 where the backbone reads none")
    slots: int = Field(ge=0, le=2 * MAX_ROWS, description="slots of the id index, 0 where there is none")
    known_ids: int = Field(ge=0, description="ids in the index; in a delta those that came since its base")


@dataclass(frozen=True)
class Change:
    """What a delta replaces in a space."""

    place: Rows  # [rows of the base]: own row, or AS_IN_BASE
    terms: Table  # [own rows, 2]
    vectors: Table | None
    index: HashIndex | None  # ids that came since -> own row


@dataclass(frozen=True)
class Space:
    """One space of an open version. Never changes."""

    terms: Table  # [rows, 2]
    vectors: Table | None  # [rows, width]
    index: HashIndex | None
    change: Change | None = None

    @property
    def unknown(self) -> int:
        """The row of every unknown id."""
        return 0 if self.change is None else len(self.terms)

    def find(self, keys: Keys) -> Rows:
        """Return the row of each id, `unknown` where it has none. Shape [N] -> [N]."""
        assert self.index is not None
        rows = self.resolve(np.maximum(self.index.find(keys), 0))
        strange = (rows == self.unknown).nonzero()[0] if self.change else NO_ROWS
        if strange.size:
            rows[strange] = self.find_since(keys[strange])
        return rows

    def resolve(self, base: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the rows that hold now for rows of the base. Any shape."""
        if self.change is None:
            return base
        place = self.change.place.take(base, mode="clip")
        return np.where(place == AS_IN_BASE, base, place + len(self.terms))

    def resolve_one(self, base: int) -> int:
        """Return the row that holds now for one row of the base."""
        place = AS_IN_BASE if self.change is None else int(self.change.place[base])
        return base if place == AS_IN_BASE else len(self.terms) + place

    def find_since(self, keys: Keys) -> Rows:
        """Return the row of each id that came since the base, `unknown` for any other. Shape [N] -> [N]."""
        if self.change is None or self.change.index is None:
            return np.full(len(keys), self.unknown, np.int32)
        return len(self.terms) + np.maximum(self.change.index.find(keys), 0)

    def find_one(self, key: int) -> int:
        """Return the row of one id, `unknown` where it has none."""
        assert self.index is not None
        row = self.resolve_one(max(self.index.find_one(key), 0))
        if row == self.unknown and self.change is not None and self.change.index is not None:
            return len(self.terms) + max(self.change.index.find_one(key), 0)
        return row

    def row(self, row: int) -> tuple[Table, Table | None]:
        """Return the terms [2] and the vector [1, width] of one row: views, nothing is copied."""
        terms, vectors = self.terms, self.vectors
        if self.change is not None and row >= len(terms):
            row, terms, vectors = row - len(terms), self.change.terms, self.change.vectors
        return terms[row], None if vectors is None else vectors[row : row + 1]

    def take(self, rows: RowNumbers) -> tuple[Table, Table | None]:
        """Return the terms and the vectors of rows. Shape [...] -> [..., 2], [..., width]."""
        # Clipping is three times as fast as an index; rows are in bounds by construction.
        terms = self.terms.take(rows, axis=0, mode="clip")
        vectors = None if self.vectors is None else self.vectors.take(rows, axis=0, mode="clip")
        if self.change is not None:
            late = (rows.reshape(-1) >= len(self.terms)).nonzero()[0]
            if late.size:
                own = rows.reshape(-1)[late] - len(self.terms)
                terms.reshape(-1, TERMS)[late] = self.change.terms.take(own, axis=0, mode="clip")
                if vectors is not None and self.change.vectors is not None:
                    width = vectors.shape[-1]
                    vectors.reshape(-1, width)[late] = self.change.vectors.take(own, axis=0, mode="clip")
        return terms, vectors


def write_space(
    directory: Path,
    space: str,
    terms: Table,
    vectors: Table | None,
    index: HashIndex | None = None,
    changed: Rows | None = None,
) -> SpaceShape:
    """Write a space; `changed` [C, 2] in a delta only. Return its sizes."""
    files: dict[str, npt.NDArray[Any] | None] = {"terms": terms, "vectors": vectors, "changed": changed}
    if index is not None:
        files |= {"keys": index.keys, "rows": index.values}
    for name, array in files.items():
        if array is not None:
            np.ascontiguousarray(array, _KIND[name]).tofile(directory / f"{space}.{name}.bin")
    return SpaceShape(
        rows=len(terms),
        width=0 if vectors is None else vectors.shape[1],
        slots=0 if index is None else len(index.keys),
        known_ids=0 if index is None else int(np.count_nonzero(index.values != MISSING)),
    )


def open_space(directory: Path, space: str, shape: SpaceShape, base: Space | None = None) -> Space:
    """Map a space read-only; with a `base` it is a delta's. Raises VersionCorrupt if sizes, rows or an index are wrong.

    Numbers are not looked at: see `check_finite`.
    """
    terms = _map(directory, space, "terms", (shape.rows, TERMS))
    vectors = _map(directory, space, "vectors", (shape.rows, shape.width)) if shape.width else None
    index = _open_index(directory, space, shape) if shape.slots else None
    if base is None:
        return Space(terms, vectors, index)
    base_width = 0 if base.vectors is None else base.vectors.shape[1]
    if shape.width != base_width:
        raise VersionCorrupt(f"{space} has vectors of width {shape.width}, in the base they have {base_width}")
    place = _open_changes(directory, space, len(base.terms), shape.rows)
    return Space(base.terms, base.vectors, base.index, Change(place, terms, vectors, index))


def check_finite(space: Space, name: str) -> None:
    """Raise VersionCorrupt if a table of the version's own holds a number that is not finite, or is beyond MAX_NUMBER.

    It reads every page by the very map that is served from, a few MB at a time, so that no request is the first to.
    """
    own = space.change or space
    for what, table in (("terms", own.terms), ("vectors", own.vectors)):
        if table is None:
            continue
        step = max(1, (1 << 20) // table.shape[1])
        for start in range(0, len(table), step):
            part = table[start : start + step]
            least, most = part.min(), part.max()  # nan if any is
            if not (np.isfinite(least) and np.isfinite(most)):
                raise VersionCorrupt(f"{name}.{what}.bin holds a number that is not finite")
            if max(-least, most) > MAX_NUMBER:
                raise VersionCorrupt(f"{name}.{what}.bin holds {max(-least, most):.3g}, the bound is {MAX_NUMBER:g}")


def _open_index(directory: Path, space: str, shape: SpaceShape) -> HashIndex:
    if shape.slots & (shape.slots - 1) or shape.slots < LEAST_SLOTS:
        raise VersionCorrupt(
            f"the id index of {space} has {shape.slots} slots, which should be a power of two, {LEAST_SLOTS} or more"
        )
    keys = _map(directory, space, "keys", (shape.slots,))
    rows = _map(directory, space, "rows", (shape.slots,))
    if rows.max() >= shape.rows or rows.min() < MISSING:
        raise VersionCorrupt(f"the id index of {space} has rows past {shape.rows - 1}, or below {MISSING}")
    if np.count_nonzero(keys) > FULLEST * shape.slots:  # a search in it might never end
        raise VersionCorrupt(f"the id index of {space} has less than a quarter of its slots empty")
    return HashIndex(keys, rows)


def _open_changes(directory: Path, space: str, base_rows: int, own_rows: int) -> Rows:
    path = directory / f"{space}.changed.bin"
    try:
        changed = np.fromfile(path, "<i4").reshape(-1, 2)
    except (OSError, ValueError) as error:
        raise VersionCorrupt(f"{path.name} cannot be read ({error})") from error
    row, own = changed[:, 0], changed[:, 1]
    if not len(row) or row[0] != 0 or own[0] != 0 or (np.diff(row) <= 0).any() or row[-1] >= base_rows:
        raise VersionCorrupt(f"{path.name} should list rows 0..{base_rows - 1} of the base, rising, from row 0 on")
    if own.min() < 0 or own.max() >= own_rows:
        raise VersionCorrupt(f"{path.name} leads to rows past {own_rows - 1}, or below 0")
    place = np.full(base_rows, AS_IN_BASE, np.int32)
    place[row] = own
    return place


def _map(directory: Path, space: str, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    path = directory / f"{space}.{name}.bin"
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        flat = np.frombuffer(mapped, _KIND[name])  # np.memmap does the same in five times the time
    except (OSError, ValueError) as error:
        raise VersionCorrupt(f"{path.name} cannot be read ({error})") from error
    if flat.size != math.prod(shape):
        raise VersionCorrupt(f"{path.name} has {flat.size} numbers, the manifest says {' x '.join(map(str, shape))}")
    return flat.reshape(shape)

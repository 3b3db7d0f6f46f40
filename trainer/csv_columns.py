"""A CSV file, plain or gzip, as columns of numbers and ids, with a reason for each cell that cannot be one.

Quick where all is well: a column is converted at once, and looked at cell by cell only if that fails. Fields never span
lines, so a stray quote costs one row and not the rest of the file.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from contract.errors import DataError
from contract.events import MAX_ID_CHARACTERS, ExternalId

MISSING = "missing value"
NOT_A_NUMBER = "text in a number"
OUT_OF_RANGE = "number out of range"
BAD_ID = "id too long or with control characters"

Problems = dict[int, str]  # row -> why it cannot be used
Whole = npt.NDArray[np.int64]

_GZIP_MAGIC = b"\x1f\x8b"
_ID: TypeAdapter[str] = TypeAdapter(ExternalId)


@dataclass(frozen=True)
class CsvFile:
    """A file that someone else wrote. `source` ends the complaint about a missing file or column: where to get it."""

    path: Path
    source: str

    def header(self, required: Sequence[str]) -> list[str]:
        """Return the names in the first line. Raises DataError if a required one is not among them."""
        header = [name.strip() for name in _split(next(self._lines(), ""))]
        if missing := [name for name in required if name not in header]:
            raise DataError(
                f"{self.path}: the first line does not name {', '.join(missing)}; "
                f"needed are {', '.join(required)}. {self.source}"
            )
        return header

    def rows(self) -> Iterator[list[str]]:
        """Yield the fields of each line after the first, blank lines left out. Raises DataError at a broken archive."""
        lines = self._lines()
        next(lines, None)
        for line in lines:
            if not line.isspace():
                yield _split(line)

    def _lines(self) -> Iterator[str]:
        try:
            with _open(self.path) as file:
                yield from file
        except FileNotFoundError:
            raise DataError(f"{self.path}: there is no such file. {self.source}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: the archive is damaged or ends early ({error}); get it again") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from None


def _open(path: Path) -> TextIO:
    """Open by content. A byte that is not UTF-8 becomes a lone surrogate, which no id and no number may hold."""
    with path.open("rb") as start:
        opened = gzip.open if start.read(2) == _GZIP_MAGIC else open
    return cast(TextIO, opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape"))


def _split(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]))
    except csv.Error:  # a field over the csv module's limit
        return []


@dataclass(frozen=True)
class Bounds:
    """What a column of whole numbers may hold, from 0."""

    high: int
    empty: int | None = None  # what an empty cell means; None refuses it
    below: str = OUT_OF_RANGE  # the complaint about a negative number


def whole_numbers(texts: Sequence[str], bounds: Bounds) -> tuple[Whole, Problems]:
    """Return the numbers of a column, and the rows that hold none within bounds. Shape [N], int64."""
    try:
        values = np.fromiter(map(int, texts), np.int64, len(texts))
    except (ValueError, OverflowError):
        return _whole_numbers_one_by_one(texts, bounds)
    outside = np.flatnonzero((values < 0) | (values > bounds.high))
    return values, {row: bounds.below if values[row] < 0 else OUT_OF_RANGE for row in outside.tolist()}


def _whole_numbers_one_by_one(texts: Sequence[str], bounds: Bounds) -> tuple[Whole, Problems]:
    values, problems = np.zeros(len(texts), np.int64), {}
    for row, text in enumerate(texts):
        read = _whole_number(text, bounds)
        if isinstance(read, int):
            values[row] = read
        else:
            problems[row] = read
    return values, problems


def _whole_number(text: str, bounds: Bounds) -> int | str:
    """Return the number or what is wrong. `7.0` is whole: pandas writes it where a column has gaps."""
    if not text.strip():
        return MISSING if bounds.empty is None else bounds.empty
    whole, _, fraction = text.strip().partition(".")
    try:
        number = int(whole)
    except ValueError:
        return NOT_A_NUMBER
    if fraction.strip("0"):
        return NOT_A_NUMBER
    if number < 0:
        return bounds.below
    return number if number <= bounds.high else OUT_OF_RANGE


def probabilities(texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], Problems]:
    """Return the probabilities of a column, nan where a cell is empty, and the rows that hold none. Shape [N]."""
    values, problems = np.full(len(texts), np.nan, np.float32), {}
    for row, text in enumerate(texts):
        if text:
            try:
                values[row] = float(text)
            except ValueError:
                problems[row] = NOT_A_NUMBER
    for row in np.flatnonzero((values < 0) | (values > 1)).tolist():
        problems[row] = OUT_OF_RANGE
    return values, problems


def unfit_ids(texts: Sequence[str], required: bool) -> Problems:
    """Return the rows whose text the contract would not take as an id; an empty one is MISSING if required."""
    joined = "".join(texts)
    if joined.isprintable() and max(map(len, texts)) <= MAX_ID_CHARACTERS and not (required and "" in texts):
        return {}
    problems = {}
    for row, text in enumerate(texts):
        if not text:
            if required:
                problems[row] = MISSING
            continue
        try:
            _ID.validate_python(text)
        except ValidationError:
            problems[row] = BAD_ID
    return problems

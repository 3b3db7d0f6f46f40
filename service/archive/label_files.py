"""Reading the label log beside its writer: hour by hour, newest first, a file and a row group at a time.

A file may vanish while it is read: an hour is compacted, a user is forgotten. Then its hour is read anew, so that a
query sees each row once whatever happens. What was aggregated of a file is kept while the file stays what it is.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from contract.errors import DataError
from contract.label_files import HOUR_MS, THROUGH, hour_ms, hour_name, hours, parts, uncovered, whole_of

T = TypeVar("T")
SCAN_ROWS = 5_000_000
CACHE_BYTES = 128 << 20
_TRIES = 10
_IDS = ["user_id", "item_id", "surface", "actions", "flag", "label", "direction"]
_LATER_TYPES = {"position": pa.int16(), "threshold": pa.float32(), "idl_target": pa.float32(), "checkpoint": pa.int32()}


class Kept(Protocol):
    """What may be kept of a file."""

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""


K = TypeVar("K", bound=Kept)


@dataclass
class Searched:
    """What a query has looked at so far."""

    from_ms: int
    to_ms: int
    rows: int = 0
    files: int = 0
    damaged: int = 0
    stopped: bool = False  # at the bound on rows: what is older was not looked at
    began_s: float = field(default_factory=time.monotonic)

    def told(self) -> dict[str, object]:
        """Return it ready for JSON."""
        return {
            "rows": self.rows,
            "files": self.files,
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "seconds": round(time.monotonic() - self.began_s, 4),
            "stopped": self.stopped,
            "damaged": self.damaged,
        }


class LabelFile:
    """One Parquet file of the label log, open."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises FileNotFoundError, or pa.ArrowInvalid if it is no Parquet file."""
        self._file = pq.ParquetFile(path, memory_map=True, read_dictionary=_IDS)
        self._present = set(self._file.schema_arrow.names)
        self.rows: int = self._file.metadata.num_rows
        self.groups: int = self._file.num_row_groups

    def read(self, group: int, columns: list[str]) -> pa.Table:
        """Return columns of one row group; what an earlier release did not write is null."""
        there = [name for name in columns if name in self._present]
        table = self._file.read_row_group(group, columns=there, use_threads=False)
        for name in columns:
            if name not in self._present:
                table = table.append_column(name, pa.nulls(len(table), _LATER_TYPES[name]))
        return table.select(columns)

    def newest_first(self) -> Iterator[int]:
        """Yield the row groups, the last written first."""
        return iter(reversed(range(self.groups)))

    @property
    def through(self) -> int:
        """The checkpoint through which an hour's file holds its rows."""
        return int((self._file.schema_arrow.metadata or {}).get(THROUGH, b"0"))

    def close(self) -> None:
        """Close it."""
        self._file.close()


class LabelFiles:
    """The label log's directory, to be read by one thread."""

    def __init__(self, directory: Path, now_ms: Callable[[], int], most_rows: int = SCAN_ROWS) -> None:
        """Read `directory`; a query looks at about `most_rows` rows and stops."""
        self.directory = directory
        self._now_ms = now_ms
        self._most_rows = most_rows
        self._kept: OrderedDict[tuple[Path, object], tuple[tuple[int, int, int], Kept]] = OrderedDict()
        self._kept_bytes = 0

    def window(self, within_hours: float) -> Searched:
        """Return the stretch that a query is about, to be handed to `newest_first`."""
        now = self._now_ms()
        return Searched(from_ms=int((now - within_hours * HOUR_MS) // HOUR_MS * HOUR_MS), to_ms=now)

    def newest_first(
        self,
        searched: Searched,
        of: Callable[[LabelFile, Path], T],
        is_enough: Callable[[list[T]], bool] = lambda _: False,
    ) -> Iterator[list[T]]:
        """Yield for each hour what `of` makes of its files, the newest first, until the bound on rows.

        An hour is left off once what was found in it `is_enough`. `of` may be asked again of a file whose hour
        changed, so it must add to nothing outside.
        """
        for hour in self._hours(searched):
            if searched.rows >= self._most_rows:
                searched.stopped = True
                return
            yield self._hour(hour, searched, of, is_enough)

    def aggregates(self, searched: Searched, name: object, of: Callable[[LabelFile], K]) -> Iterator[K]:
        """Yield what `of` makes of each file, the newest first; what is known by `name` is not made again."""
        self._drop_stale()
        for of_hour in self.newest_first(searched, lambda file, path: self._remembered(file, path, name, of)):
            yield from of_hour

    def _hours(self, searched: Searched) -> list[str]:
        first = hour_name(searched.from_ms)
        return [name for name in reversed(hours(self.directory)) if name >= first and hour_ms(name) <= searched.to_ms]

    def _hour(
        self, hour: str, searched: Searched, of: Callable[[LabelFile, Path], T], is_enough: Callable[[list[T]], bool]
    ) -> list[T]:
        before = (searched.rows, searched.files, searched.damaged)
        for _ in range(_TRIES):
            try:
                return self._read_hour(hour, searched, of, is_enough)
            except FileNotFoundError:
                searched.rows, searched.files, searched.damaged = before
        raise DataError(f"the files of {hour} in {self.directory} change faster than they are read; ask again")

    def _read_hour(
        self, hour: str, searched: Searched, of: Callable[[LabelFile, Path], T], is_enough: Callable[[list[T]], bool]
    ) -> list[T]:
        found: list[T] = []
        for path in self._paths(hour):
            found += _look(path, searched, of)
            if is_enough(found):
                break
        return found

    def _paths(self, hour: str) -> list[Path]:
        """Return the files that hold an hour's rows, each row once, the newest first."""
        written = parts(self.directory, hour)  # before the whole file is looked for: no row is missed
        whole = whole_of(self.directory, hour)
        if not whole.exists():
            return written[::-1]
        return [*uncovered(written, _through(whole))[::-1], whole]

    def _remembered(self, file: LabelFile, path: Path, name: object, of: Callable[[LabelFile], K]) -> K:
        key, stamp = (path, name), _stamp(path)
        known = self._kept.get(key)
        if known and known[0] == stamp:
            self._kept.move_to_end(key)
            return cast(K, known[1])
        made = of(file)
        if _stamp(path) == stamp:
            self._keep(key, stamp, made)
        return made

    def _keep(self, key: tuple[Path, object], stamp: tuple[int, int, int], made: Kept) -> None:
        self._forget(key)
        self._kept[key] = (stamp, made)
        self._kept_bytes += made.nbytes
        while self._kept_bytes > CACHE_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[Path, object]) -> None:
        known = self._kept.pop(key, None)
        self._kept_bytes -= known[1].nbytes if known else 0

    def _drop_stale(self) -> None:
        """Keep nothing of files that went or changed: a user who was forgotten may have been in them."""
        stamps: dict[Path, tuple[int, int, int] | None] = {}
        for path, _ in self._kept:
            if path not in stamps:
                stamps[path] = _stamp(path) if path.exists() else None
        for key in [key for key, (stamp, _) in self._kept.items() if stamps[key[0]] != stamp]:
            self._forget(key)


def _look(path: Path, searched: Searched, of: Callable[[LabelFile, Path], T]) -> list[T]:
    """Return what `of` makes of a file, nothing of one that is damaged. Raises FileNotFoundError if it went."""
    try:
        file = LabelFile(path)
    except pa.ArrowInvalid:
        searched.damaged += 1
        return []
    try:
        found = of(file, path)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        searched.damaged += 1
        return []
    finally:
        file.close()
    searched.rows += file.rows
    searched.files += 1
    return [found]


def _through(whole: Path) -> int:
    try:
        file = LabelFile(whole)
    except pa.ArrowInvalid:
        return 0  # damaged: the parts that are left are all there is
    try:
        return file.through
    finally:
        file.close()


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file does: a new file takes the place of the old."""
    status = path.stat()
    return (status.st_mtime_ns, status.st_size, status.st_ino)

"""The label log: the denoised data set, one row an event, as hourly Parquet.

    labels/2026-11-24T08/00000012.parquet    rows since the checkpoint before, written just before checkpoint 12
    labels/2026-11-24T07.parquet             an hour that is over, in one file

The hour is that of the acknowledgement (UTC). Parts of a checkpoint that was never written are removed on restart,
before their events are read again, so each event has its row exactly once. Read it with pandas or polars:
`polars.read_parquet("labels/**/*.parquet")`.
"""

import shutil
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from contract.durable import sync_directory, sync_file, write_atomically
from contract.errors import DataError
from contract.events import ABSENT, action_names
from contract.hashing import id_key
from contract.watch import NO_CELL, Flag
from trainer.labels import LABEL_NAMES
from trainer.step_report import StepReport

_ACTIONS = pa.array([",".join(action_names(mask)) for mask in range(256)], pa.string())
# Columns whose values come again: a dictionary of all others would cost a quarter of the time and shrink nothing.
_REPEATING = [
    *["user_id", "item_id", "acknowledged_ms", "actions", "surface", "flag", "cell", "label", "pseudo_label"],
    *["direction", "held_out", "capped"],
]
_HOUR = "%Y-%m-%dT%H"
_THROUGH = b"winnow.checkpoint"
_FLAGS = pa.array([flag.name.lower() for flag in Flag], pa.string())
_LABELS = pa.array([LABEL_NAMES[label] for label in sorted(LABEL_NAMES)], pa.string())  # from -1 on


class LabelLog:
    """Collects rows in memory and writes them with each checkpoint."""

    def __init__(self, directory: Path) -> None:
        """Open, or make, the label log."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._rows: dict[str, list[pa.Table]] = {}

    def forget_after(self, checkpoint: int) -> None:
        """Remove parts newer than a checkpoint, which is about to be gone on from (0: all that is not compacted).

        Rows that were collected and not written are forgotten, and what a death left half written is removed.
        """
        self._rows = {}
        for litter in self.directory.glob("**/.*.tmp"):
            litter.unlink()
        for part in self.directory.glob("*/*.parquet"):
            if int(part.stem) > checkpoint:
                part.unlink()

    def add(self, report: StepReport, acknowledged_ms: npt.NDArray[np.int64]) -> None:
        """Collect a step's rows. `acknowledged_ms` [N] is the log's time of each event."""
        table = _table(report, acknowledged_ms)
        hours = acknowledged_ms // 3_600_000
        among = np.unique(hours)
        for hour in among:
            name = datetime.fromtimestamp(int(hour) * 3600, UTC).strftime(_HOUR)
            rows = table if len(among) == 1 else table.filter(pa.array(hours == hour))
            self._rows.setdefault(name, []).append(rows)

    def write(self, checkpoint: int) -> None:
        """Write the collected rows as parts of a checkpoint, to be called just before it is written."""
        for hour, tables in self._rows.items():
            directory = self.directory / hour
            if not directory.exists():
                directory.mkdir()
                sync_directory(self.directory)
            _write(directory / f"{checkpoint:08d}.parquet", pa.concat_tables(tables))
        self._rows = {}

    def drop_users(self, user_keys: Collection[int]) -> None:
        """Remove the rows of users that are not written yet."""
        for hour, tables in self._rows.items():
            self._rows[hour] = [_without(table, user_keys) for table in tables]

    def drop_users_on_disk(self, user_keys: Collection[int]) -> int:
        """Remove the rows of users from all files; return how many went. Doing it again changes nothing.

        Call it before the parts of the checkpoint that covers their tombstones are written.
        """
        gone = 0
        for path in [*self.directory.glob("*.parquet"), *self.directory.glob("*/*.parquet")]:
            users = pq.read_table(path, columns=["user_id"])["user_id"]
            if _is_of(users, user_keys).any():
                table = pq.read_table(path, partitioning=None)
                left = _without(table, user_keys)
                gone += table.num_rows - left.num_rows
                _write(path, left)
                sync_file(path)
                sync_directory(path.parent)
        return gone

    def compact(self, now_ms: int, through: int) -> None:
        """Bring each hour that is over into one file. `through` is the oldest kept checkpoint.

        Only parts that no restart can come back to are taken. The file says through which checkpoint its rows go, so
        a crash between writing it and removing the parts counts nothing twice.
        """
        current = datetime.fromtimestamp(now_ms / 1000, UTC).strftime(_HOUR)
        for directory in sorted(path for path in self.directory.iterdir() if path.is_dir() and path.name < current):
            parts = sorted(directory.glob("*.parquet"))
            if any(int(part.stem) > through for part in parts):
                continue
            whole = self.directory / f"{directory.name}.parquet"
            tables = [pq.read_table(whole)] if whole.exists() else []
            done = _through(whole)
            tables += [pq.read_table(part) for part in parts if int(part.stem) > done]
            last = max([done, *(int(part.stem) for part in parts)])
            merged = pa.concat_tables([table.replace_schema_metadata() for table in tables], promote_options="default")
            _write(whole, merged.replace_schema_metadata({_THROUGH: str(last)}))
            shutil.rmtree(directory)


def export_labels(directory: Path, out: Path) -> int:
    """Write the whole label log to one .parquet or .csv file; return its rows. Raises DataError if it is empty."""
    tables = []
    for whole in sorted(directory.glob("*.parquet")):
        tables.append(pq.read_table(whole))
    for part in sorted(directory.glob("*/*.parquet")):
        if int(part.stem) > _through(directory / f"{part.parent.name}.parquet"):
            tables.append(pq.read_table(part))
    if not tables:
        raise DataError(f"{directory} holds no labels yet; they are written with each checkpoint")
    rows = pa.concat_tables([table.replace_schema_metadata() for table in tables], promote_options="default")
    if out.suffix == ".csv":
        pacsv.write_csv(rows, out)
    else:
        _write(out, rows)
    return int(rows.num_rows)


def _is_of(users: pa.ChunkedArray, user_keys: Collection[int]) -> npt.NDArray[np.bool_]:
    """Return which ids are those of users given by key. Shape [N]."""
    distinct = users.unique().to_pylist()
    wanted = [text for text in distinct if id_key(text) in user_keys]
    return np.asarray(pc.is_in(users, pa.array(wanted, pa.string())).to_numpy(), np.bool_)


def _without(table: pa.Table, user_keys: Collection[int]) -> pa.Table:
    """Return the rows of all other users; the metadata stays."""
    return table.filter(pa.array(~_is_of(table["user_id"], user_keys)))


def _through(whole: Path) -> int:
    """Return the checkpoint through which an hour's file holds its rows; 0 where there is none."""
    return int(pq.read_schema(whole).metadata[_THROUGH]) if whole.exists() else 0


def _table(report: StepReport, acknowledged_ms: npt.NDArray[np.int64]) -> pa.Table:
    events, evidence = report.events, report.evidence
    threshold = report.calibration.threshold
    return pa.table(
        {
            "event_id": pa.array(events.event_id, pa.string()),
            "user_id": pa.array(events.user_id, pa.string()),
            "item_id": pa.array(events.item_id, pa.string()),
            "at_ms": events.at_ms,
            "acknowledged_ms": acknowledged_ms,
            "watch_ms": pa.array(events.watch_ms, mask=events.watch_ms == ABSENT),
            "duration_ms": pa.array(events.duration_ms, mask=events.duration_ms == ABSENT),
            "actions": _ACTIONS.take(pa.array(events.actions)),
            "surface": pa.array(events.surface, pa.string()),
            "quantile": pa.array(evidence.quantile, mask=np.isnan(evidence.quantile)),
            "flag": _FLAGS.take(pa.array(evidence.flag)),
            "cell": pa.array(evidence.cell, mask=evidence.cell == NO_CELL),
            "llr": evidence.llr.sum(1),
            "label": _LABELS.take(pa.array(report.label - min(LABEL_NAMES))),
            "logit": report.logit,
            "score": report.score,
            "pseudo_label": (report.belief > threshold).astype(np.int8),
            "relevance": report.belief,
            "confidence": np.where(report.belief > threshold, report.belief, 1.0 - report.belief),
            "target": pa.array(report.target, mask=np.isnan(report.target)),
            "direction": pa.repeat(pa.scalar(report.direction.value, pa.string()), len(report)),
            "held_out": report.held_out,
            "capped": report.capped,
        }
    )


def _write(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that is whole or absent, and on disk: a checkpoint that covers its rows comes after it."""
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd", use_dictionary=_REPEATING)
    write_atomically(path, memoryview(content.getvalue()))

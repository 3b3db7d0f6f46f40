"""The label log: the denoised data set, one row an event, as hourly Parquet.

Which file holds which rows is said in `contract.label_files`. A part is written just before its checkpoint; parts of a
checkpoint that was never written are removed on restart, before their events are read again, so each event has its row
exactly once. Read it with pandas or polars: `polars.read_parquet("labels/**/*.parquet")`; where earlier releases wrote
some of the files, with `missing_columns="insert"`.
"""

import shutil
from collections.abc import Collection
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
from contract.label_files import HOUR_MS, THROUGH, checkpoint_of, hour_name, part_of, parts, uncovered, whole_of
from contract.watch import NO_CELL, Flag
from trainer.labels import LABEL_NAMES
from trainer.step_report import StepReport

_ACTIONS = pa.array([",".join(action_names(mask)) for mask in range(256)], pa.string())
# Columns whose values come again: a dictionary of all others would cost a quarter of the time and shrink nothing.
_REPEATING = [
    *["user_id", "item_id", "acknowledged_ms", "actions", "surface", "flag", "cell", "label", "pseudo_label"],
    *["direction", "held_out", "capped", "position", "threshold", "checkpoint"],
]
_GROUP_ROWS = 131_072  # of a file of an hour: a reader looks for few rows, and reads the groups that have them
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
            if checkpoint_of(part) > checkpoint:
                part.unlink()

    def add(self, report: StepReport, acknowledged_ms: npt.NDArray[np.int64]) -> None:
        """Collect a step's rows. `acknowledged_ms` [N] is the log's time of each event."""
        table = _table(report, acknowledged_ms)
        hours = acknowledged_ms // HOUR_MS
        among = np.unique(hours)
        for hour in among:
            name = hour_name(int(hour) * HOUR_MS)
            rows = table if len(among) == 1 else table.filter(pa.array(hours == hour))
            self._rows.setdefault(name, []).append(rows)

    def write(self, checkpoint: int) -> None:
        """Write the collected rows as parts of a checkpoint, to be called just before it is written."""
        for hour, tables in self._rows.items():
            part = part_of(self.directory, hour, checkpoint)
            if not part.parent.exists():
                part.parent.mkdir()
                sync_directory(self.directory)
            rows = pa.concat_tables(tables)
            _write(part, rows.append_column("checkpoint", pa.repeat(pa.scalar(checkpoint, pa.int32()), len(rows))))
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
        current = hour_name(now_ms)
        for directory in sorted(path for path in self.directory.iterdir() if path.is_dir() and path.name < current):
            written = parts(self.directory, directory.name)
            if uncovered(written, through):
                continue
            whole = whole_of(self.directory, directory.name)
            tables = [pq.read_table(whole)] if whole.exists() else []
            done = _through(whole)
            tables += [pq.read_table(part) for part in uncovered(written, done)]
            last = max([done, *map(checkpoint_of, written)])
            merged = pa.concat_tables([table.replace_schema_metadata() for table in tables], promote_options="default")
            _write(whole, merged.replace_schema_metadata({THROUGH: str(last)}))
            shutil.rmtree(directory)


def export_labels(directory: Path, out: Path) -> int:
    """Write the whole label log to one .parquet or .csv file; return its rows. Raises DataError if it is empty."""
    tables = []
    for whole in sorted(directory.glob("*.parquet")):
        tables.append(pq.read_table(whole))
    for part in sorted(directory.glob("*/*.parquet")):
        if uncovered([part], _through(whole_of(directory, part.parent.name))):
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
    return int(pq.read_schema(whole).metadata[THROUGH]) if whole.exists() else 0


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
            "position": pa.array(events.position, mask=events.position == ABSENT),
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
            "threshold": pa.repeat(pa.scalar(threshold, pa.float32()), len(report)),
            "idl_target": report.idl_target.astype(np.float32),
            "target": pa.array(report.target, mask=np.isnan(report.target)),
            "direction": pa.repeat(pa.scalar(report.direction.value, pa.string()), len(report)),
            "held_out": report.held_out,
            "capped": report.capped,
        }
    )


def _write(path: Path, table: pa.Table) -> None:
    """Write a Parquet file that is whole or absent, and on disk: a checkpoint that covers its rows comes after it."""
    content = pa.BufferOutputStream()
    pq.write_table(table, content, compression="zstd", use_dictionary=_REPEATING, row_group_size=_GROUP_ROWS)
    write_atomically(path, memoryview(content.getvalue()))

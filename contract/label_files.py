"""Where the label log's rows are: what its writer (the trainer) and its readers (the console, reports) agree on.

    labels/2026-11-24T08/00000012.parquet    the part of checkpoint 12: rows since the checkpoint before
    labels/2026-11-24T07.parquet             an hour that is over, in one file

The hour is that of the acknowledgement (UTC). An hour's file says in its metadata, under `THROUGH`, the checkpoint that
its rows go through; parts up to that one, which a crash may have left beside it, hold nothing more.
Nothing here opens a file: whoever does brings its own reader of Parquet.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

LABELS = "labels"  # the directory under the home
THROUGH = b"winnow.checkpoint"
HOUR_MS = 3_600_000
_HOUR = "%Y-%m-%dT%H"

COLUMNS = (
    *("event_id", "user_id", "item_id", "at_ms", "acknowledged_ms", "watch_ms", "duration_ms", "actions", "surface"),
    *("position", "quantile", "flag", "cell", "llr", "label", "logit", "score", "pseudo_label", "relevance"),
    *("confidence", "threshold", "idl_target", "target", "direction", "held_out", "capped", "checkpoint"),
)
LATER_COLUMNS = frozenset({"position", "threshold", "idl_target", "checkpoint"})
"""Columns that files of earlier releases lack; read as null."""


def hour_name(at_ms: int) -> str:
    """Return the name of the hour of a time."""
    return datetime.fromtimestamp(at_ms // HOUR_MS * 3600, UTC).strftime(_HOUR)


def hour_ms(name: str) -> int:
    """Return when an hour begins. Raises ValueError if that is no hour's name."""
    return int(datetime.strptime(name, _HOUR).replace(tzinfo=UTC).timestamp()) * 1000


def whole_of(directory: Path, hour: str) -> Path:
    """Return the file of an hour that is over."""
    return directory / f"{hour}.parquet"


def part_of(directory: Path, hour: str, checkpoint: int) -> Path:
    """Return the part that a checkpoint writes of an hour."""
    return directory / hour / f"{checkpoint:08d}.parquet"


def checkpoint_of(part: Path) -> int:
    """Return the checkpoint that wrote a part."""
    return int(part.stem)


def hours(directory: Path) -> list[str]:
    """Return the hours there are rows of, oldest first; none where there is no directory."""
    names = {path.stem for path in directory.glob("*.parquet")} | {path.parent.name for path in _all_parts(directory)}
    return sorted(name for name in names if _is_hour(name))


def parts(directory: Path, hour: str) -> list[Path]:
    """Return the parts of an hour, oldest first.

    A reader lists them before it looks for the hour's file: that is written before they go, so no row is missed.
    """
    return sorted((directory / hour).glob("*.parquet"), key=checkpoint_of)


def uncovered(parts: Iterable[Path], through: int) -> list[Path]:
    """Return the parts with rows that are not in their hour's file, which goes through a checkpoint (0: no file)."""
    return [part for part in parts if checkpoint_of(part) > through]


def _all_parts(directory: Path) -> Iterable[Path]:
    return directory.glob("*/*.parquet")


def _is_hour(name: str) -> bool:
    try:
        hour_ms(name)
    except ValueError:
        return False
    return True

"""The log of a short-video app in KuaiRand's columns: read as events, with clear complaints, and written.

Reading streams: memory does not grow with the log. A row that cannot be an event is left out and counted by reason; a
row that is odd but says something is kept and counted. Only what stops everything raises: a missing file or column, a
broken archive. So that nothing goes silently:

    rows = events + refused rows + "duplicate row"s

The real log repeats 3 % of its rows (same user, video and time) side by side; such rows become one event with all
their actions and the longest watch. A repeat further off keeps its event id, by which the trainer drops it.
Source: Gao et al., "KuaiRand", CIKM 2022.
"""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.errors import DataError
from contract.events import ABSENT, MAX_AT_MS, MAX_MS, MAX_POSITION, MAX_TAGS, TAG_SEPARATOR, Action
from trainer.csv_columns import MISSING, Bounds, CsvFile, Problems, Whole, probabilities, unfit_ids, whole_numbers
from trainer.log_block import LogBlock, events_of

BLOCK_EVENTS = 4096

NEGATIVE_WATCH = "negative watch"
WRONG_WIDTH = "row too short or too long"

DUPLICATE_ROW = "duplicate row"
OUT_OF_ORDER = "out of order"
DURATION_UNKNOWN = "duration unknown"

_SOURCE = "KuaiRand is published at https://kuairand.com and https://zenodo.org/records/10439422"
_CHINA_MS = 8 * 3_600_000  # the offset of the app's dates

_Columns = dict[str, Sequence[str]]
_Features = dict[str, tuple[str, str]]  # video -> author, tags

_ACTIONS = {
    "is_like": Action.LIKE,
    "is_follow": Action.FOLLOW,
    "is_comment": Action.COMMENT,
    "is_forward": Action.SHARE,
    "is_hate": Action.DISLIKE,
}
_REQUIRED = ("user_id", "video_id", "time_ms", "play_time_ms", "duration_ms")
_TEXTS = ("user_id", "video_id", "event_id", "tab", "author_id", "tag")
_NUMBERS = {
    "time_ms": Bounds(MAX_AT_MS),
    "play_time_ms": Bounds(MAX_MS, empty=ABSENT, below=NEGATIVE_WATCH),
    "duration_ms": Bounds(MAX_MS, empty=ABSENT),
    "long_view": Bounds(1, empty=ABSENT),
    "is_rand": Bounds(1, empty=ABSENT),
    "position": Bounds(MAX_POSITION, empty=ABSENT),
    **{name: Bounds(1, empty=0) for name in _ACTIONS},
}
_WRITTEN_HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view,"
    "play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab,"
    "author_id,tag,position,truth"
)


@dataclass
class ReadReport:
    """What a reader found so far."""

    rows: int = 0
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # rows left out, by reason
    noted: Counter[str] = field(default_factory=Counter)  # rows kept or merged, by what is odd about them


class KuaiRandLog:
    """Iterate for blocks; `report` fills meanwhile, and starts anew with each iteration."""

    def __init__(self, logs: Sequence[Path], features: Path | None, block_events: int) -> None:
        """Read the headers and the features."""
        self.report = ReadReport()
        self._files = [CsvFile(path, _SOURCE) for path in logs]
        self._headers = [file.header(_REQUIRED) for file in self._files]
        self._features = {} if features is None else _features(CsvFile(features, _SOURCE))
        self._block_events = block_events

    def __iter__(self) -> Iterator[LogBlock]:
        """Yield blocks of up to `block_events`. Raises DataError where an archive breaks, after what came before."""
        report, latest_ms = ReadReport(), 0
        self.report = report
        for file, header in zip(self._files, self._headers, strict=True):
            for columns in _chunks(file, header, self._block_events, report):
                block = _block(columns, self._features, report)
                if block is not None:
                    at_ms = block.events.at_ms
                    latest = np.maximum.accumulate(np.append(latest_ms, at_ms))
                    _note(report, OUT_OF_ORDER, int((at_ms < latest[1:]).sum()))
                    latest_ms = int(latest[-1])
                    yield block


def read_kuairand(logs: Sequence[Path], features: Path | None = None, block_events: int = BLOCK_EVENTS) -> KuaiRandLog:
    """Open logs, plain or gzip, to be read in the order given; `features` names the author and tags of videos.

    Beside KuaiRand's columns a log may have author_id, tag, position, event_id and truth; only user, video, time, play
    time and duration are required. Raises DataError if a file or a required column is missing.
    """
    return KuaiRandLog(logs, features, block_events)


def write_csv(path: Path, blocks: Iterable[LogBlock]) -> int:
    """Write blocks in KuaiRand's columns and author_id, tag, position, truth; gzip if the name ends in `.gz`.

    Signals of KuaiRand that an event does not hold (click, profile and comment dwell) are 0; what KuaiRand does not
    hold (event id, foreground, impression id) is not written. Returns the number of rows.
    """
    rows = 0
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="\n") as file:
        writer = csv.writer(file, lineterminator="\n")
        file.write(_WRITTEN_HEADER + "\n")
        for block in blocks:
            writer.writerows(zip(*_written(block), strict=True))
            rows += len(block)
    return rows


def _note(report: ReadReport, what: str, count: int) -> None:
    if count:
        report.noted[what] += count


def _chunks(file: CsvFile, header: Sequence[str], size: int, report: ReadReport) -> Iterator[_Columns]:
    """Yield columns of up to `size` rows, cut where the time changes so that repeats stay together.

    A chunk of one single time is cut anywhere: memory stays bounded.
    """
    rows: list[list[str]] = []
    time = header.index("time_ms")
    try:
        for fields in file.rows():
            report.rows += 1
            if len(fields) != len(header):
                report.refused[WRONG_WIDTH] += 1
                continue
            rows.append(fields)
            if len(rows) == size:
                end = _end_of_whole_times(rows, time)
                yield _transposed(header, rows[:end])
                rows = rows[end:]
    except DataError:
        if rows:
            yield _transposed(header, rows)
        raise
    if rows:
        yield _transposed(header, rows)


def _end_of_whole_times(rows: Sequence[Sequence[str]], time: int) -> int:
    last, end = rows[-1][time], len(rows)
    while end and rows[end - 1][time] == last:
        end -= 1
    return end or len(rows)


def _transposed(header: Sequence[str], rows: Sequence[Sequence[str]]) -> _Columns:
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def _features(file: CsvFile) -> _Features:
    """Return author and tags of each video. A row that cannot be used leaves its video without."""
    header = file.header(["video_id", "author_id"])
    rows = [fields for fields in file.rows() if len(fields) == len(header)]
    if not rows:
        return {}
    columns = _transposed(header, rows)
    named = [columns["video_id"], columns["author_id"], columns.get("tag", [""] * len(rows))]
    unfit = set().union(*(unfit_ids(texts, required=False) for texts in named))
    videos = enumerate(zip(*named, strict=True))
    return {video: (author, _tags(tag)) for row, (video, author, tag) in videos if row not in unfit}


def _tags(text: str) -> str:
    return TAG_SEPARATOR.join([tag for tag in text.split(",") if tag][:MAX_TAGS])


def _block(columns: _Columns, features: _Features, report: ReadReport) -> LogBlock | None:
    """Judge the rows of a chunk; turn those that pass into events, repeats merged."""
    numbers, truth, problems = _judged(columns)
    report.refused.update(problems.values())
    rows = np.setdiff1d(np.arange(len(truth)), list(problems))
    if not len(rows):
        return None
    texts = {name: [columns[name][row] for row in rows.tolist()] for name in _TEXTS if name in columns}
    every = _built(texts, {name: values[rows] for name, values in numbers.items()}, truth[rows], features)
    merged = _merged(every)
    report.events += len(merged)
    _note(report, DUPLICATE_ROW, len(every) - len(merged))
    _note(report, DURATION_UNKNOWN, int((merged.events.duration_ms <= 0).sum()))
    return merged


def _judged(columns: _Columns) -> tuple[dict[str, Whole], npt.NDArray[np.float32], Problems]:
    """Return numbers, truth, and the rows that cannot be events, each with its first problem."""
    problems: Problems = {}
    numbers: dict[str, Whole] = {}
    for name in _TEXTS:
        if name in columns:
            problems = unfit_ids(columns[name], name in _REQUIRED) | problems
    for name, bounds in _NUMBERS.items():
        if name in columns:
            numbers[name], wrong = whole_numbers(columns[name], bounds)
            problems = wrong | problems
        else:
            numbers[name] = np.full(len(columns["time_ms"]), bounds.empty, np.int64)
    truth, wrong = probabilities(columns.get("truth", [""] * len(numbers["time_ms"])))
    said = sum(numbers[name] for name in _ACTIONS)
    silent = np.flatnonzero((numbers["play_time_ms"] == ABSENT) & (said == 0))
    return numbers, truth, dict.fromkeys(silent.tolist(), MISSING) | wrong | problems


def _built(
    texts: dict[str, list[str]], numbers: dict[str, Whole], truth: npt.NDArray[np.float32], features: _Features
) -> LogBlock:
    nothing = [""] * len(truth)
    known = [features.get(item, ("", "")) for item in texts["video_id"]]
    actions = [numbers[name] * action.bit for name, action in _ACTIONS.items()]
    events = events_of(
        texts["user_id"],
        texts["video_id"],
        numbers["time_ms"],
        watch_ms=numbers["play_time_ms"],
        duration_ms=numbers["duration_ms"],
        actions=np.bitwise_or.reduce(actions),
        position=numbers["position"],
        surface=[tab and f"tab{tab}" for tab in texts.get("tab", nothing)],
        author_id=[given or author for given, (author, _) in zip(texts.get("author_id", nothing), known, strict=True)],
        tags=[_tags(given) or tags for given, (_, tags) in zip(texts.get("tag", nothing), known, strict=True)],
        event_id=texts.get("event_id", nothing),
    )
    return LogBlock(events, numbers["long_view"].astype(np.int8), numbers["is_rand"].astype(np.int8), truth)


def _merged(block: LogBlock) -> LogBlock:
    """Make one row of the rows that share user, item and time and are side by side, but for others of that time.

    It takes the place of the first. At least one row.
    """
    events = block.events
    run = np.cumsum(np.append(False, events.at_ms[1:] != events.at_ms[:-1]))
    keys = (events.item_key, events.user_key, run)
    order = np.lexsort(keys)  # stable: the first of each group is the first in the log
    starts = np.flatnonzero(np.append(True, np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)))
    if len(starts) == len(block):
        return block
    first = order[starts]
    place = np.argsort(first)
    longest, said, long_view, is_random = (
        join.reduceat(column[order], starts)[place]
        for join, column in (
            (np.maximum, events.watch_ms),
            (np.bitwise_or, events.actions),
            (np.maximum, block.long_view),
            (np.maximum, block.is_random),
        )
    )
    kept = events.take(first[place])
    return LogBlock(replace(kept, watch_ms=longest, actions=said), long_view, is_random, block.truth[first[place]])


def _written(block: LogBlock) -> list[list[object]]:
    events = block.events
    china_ms = events.at_ms + _CHINA_MS
    columns: dict[str, list[object]] = {
        "user_id": events.user_id.tolist(),
        "video_id": events.item_id.tolist(),
        "date": [day.replace("-", "") for day in np.datetime_as_string(china_ms.astype("M8[ms]"), "D").tolist()],
        "hourmin": (china_ms // 3_600_000 % 24 * 100).tolist(),
        "time_ms": events.at_ms.tolist(),
        "long_view": _or_empty(block.long_view),
        "play_time_ms": _or_empty(events.watch_ms),
        "duration_ms": _or_empty(events.duration_ms),
        "is_rand": _or_empty(block.is_random),
        "tab": [surface.removeprefix("tab") for surface in events.surface.tolist()],
        "author_id": events.author_id.tolist(),
        "tag": [tags.replace(TAG_SEPARATOR, ",") for tags in events.tags.tolist()],
        "position": _or_empty(events.position),
        "truth": ["" if np.isnan(value) else f"{value:.9g}" for value in block.truth.tolist()],  # 9 digits: exact
        **{name: ((events.actions & action.bit) > 0).astype(int).tolist() for name, action in _ACTIONS.items()},
    }
    return [columns.get(name, [0] * len(block)) for name in _WRITTEN_HEADER.split(",")]


def _or_empty(column: npt.NDArray[np.signedinteger]) -> list[object]:
    return ["" if value == ABSENT else value for value in column.tolist()]

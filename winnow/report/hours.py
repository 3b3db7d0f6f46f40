"""Quality and freshness of each hour, recomputed from the label log: its logits and scores are from before learning."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.hashing import id_key
from contract.label_files import HOUR_MS
from service.archive.label_files import LabelFile, LabelFiles, Searched
from service.archive.label_rows import floats, label_codes
from trainer.metrics_math import auc, ece, gauc
from trainer.timeliness import timeliness
from winnow.report.served import Served

Floats = npt.NDArray[np.float64]
_COLUMNS = [
    *["user_id", "label", "logit", "score", "capped", "held_out", "checkpoint", "at_ms", "acknowledged_ms"],
]
_SLATE = np.uint64(0x9E3779B97F4A7C15)  # an odd number: spreads checkpoints over the keys of users


@dataclass(frozen=True)
class HourOfLog:
    """One hour; nan where there is not enough to say."""

    hour_ms: int
    events: int
    positives: int  # within the caps
    capped: int
    late: int
    future: int
    auc: float
    gauc: float  # of slates: one user's exposures between two checkpoints
    ece: float
    delays_s: Floats  # from acknowledged to served, of the events that are served
    unserved: int


@dataclass(frozen=True)
class _Rows:
    """Columns of length N."""

    slate: npt.NDArray[np.uint64]
    positive: npt.NDArray[np.bool_]
    logit: Floats
    score: Floats
    capped: npt.NDArray[np.bool_]
    at_ms: npt.NDArray[np.int64]
    acknowledged_ms: npt.NDArray[np.int64]


def hours_of(files: LabelFiles, searched: Searched, from_ms: int, served: Served) -> list[HourOfLog]:
    """Return every hour with rows acknowledged from `from_ms` on, the oldest first."""
    hours = []
    for of_hour in files.newest_first(searched, lambda file, _: list(_rows(file, from_ms))):
        parts = [part for of_file in of_hour for part in of_file if len(part.logit)]
        if parts:
            hours.append(_hour(parts, served))
    return hours[::-1]


def _hour(parts: list[_Rows], served: Served) -> HourOfLog:
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _Rows.__dataclass_fields__}
    free = ~whole["capped"]
    positive, logit = whole["positive"][free], whole["logit"][free]
    times = timeliness(whole["at_ms"], whole["acknowledged_ms"])
    delays = served.delays_s(whole["acknowledged_ms"])
    return HourOfLog(
        hour_ms=int(whole["acknowledged_ms"].min() // HOUR_MS * HOUR_MS),
        events=len(free),
        positives=int(positive.sum()),
        capped=int((~free).sum()),
        late=times.late,
        future=times.future,
        auc=auc(logit, positive),
        gauc=gauc(logit, positive, whole["slate"][free]).value,
        ece=ece(whole["score"][free], positive),
        delays_s=delays[np.isfinite(delays)],
        unserved=int(np.isinf(delays).sum()),
    )


def _rows(file: LabelFile, from_ms: int) -> Iterator[_Rows]:
    for group in file.newest_first():
        table = file.read(group, _COLUMNS)
        table = table.filter(pa.array(table["acknowledged_ms"].to_numpy() >= from_ms))
        yield _Rows(
            _slates(table),
            label_codes(table["label"]) == 1,
            floats(table["logit"]),
            floats(table["score"]),
            floats(table["capped"]) != 0,
            table["at_ms"].to_numpy(),
            table["acknowledged_ms"].to_numpy(),
        )


def _slates(table: pa.Table) -> npt.NDArray[np.uint64]:
    """Return a number for each user and checkpoint. Shape [N]."""
    if not len(table):
        return np.zeros(0, np.uint64)
    users = table["user_id"].combine_chunks()
    users = users if pa.types.is_dictionary(users.type) else users.dictionary_encode()
    keys = np.array([id_key(user) for user in users.dictionary.to_pylist()], np.uint64)
    checkpoint = np.nan_to_num(floats(table["checkpoint"])).astype(np.uint64)
    return np.asarray(keys[users.indices.to_numpy(zero_copy_only=False)] ^ (checkpoint * _SLATE), np.uint64)

"""Where the targets of the unlabelled lie, by what kind of watch it was."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.archive.asked import HoursAsked
from service.archive.label_files import LabelFile, LabelFiles
from service.archive.label_rows import floats, label_codes
from service.archive.watch_kinds import KINDS, kinds_of

Floats = npt.NDArray[np.float64]
EDGES = np.logspace(-4, 0, 41)  # what is lower falls in the first bin
_COLUMNS = ["label", "target", "flag", "cell", "watch_ms", "capped", "held_out"]


@dataclass(frozen=True)
class Targets:
    """Targets of a file's unlabelled."""

    counts: Floats  # [kinds, bins]
    total: float  # sum of them
    events: int  # learned, whatever was said
    positives: int  # among those

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.counts.nbytes


def histogram(files: LabelFiles, asked: HoursAsked) -> dict[str, Any]:
    """Return the counts of targets in log-spaced bins, their mean, and the prior: the share of positives."""
    searched = files.window(asked.hours)
    counts, total, events, positives = np.zeros((len(KINDS), len(EDGES) - 1)), 0.0, 0, 0
    for part in files.aggregates(searched, "targets", _targets):
        counts += part.counts
        total, events, positives = total + part.total, events + part.events, positives + part.positives
    rows = int(counts.sum())
    return {
        "edges": EDGES.tolist(),
        "counts": counts.sum(0).astype(int).tolist(),
        "by_flag": {kind: of_kind.astype(int).tolist() for kind, of_kind in zip(KINDS, counts, strict=True)},
        "prior": positives / events if events else None,
        "mean": total / rows if rows else None,
        "rows": rows,
        "searched": searched.told(),
    }


def _targets(file: LabelFile) -> Targets:
    counts, total, events, positives = np.zeros((len(KINDS), len(EDGES) - 1)), 0.0, 0, 0
    for group in file.newest_first():
        table = file.read(group, _COLUMNS)
        label, target = label_codes(table["label"]), floats(table["target"])
        learned = (floats(table["capped"]) == 0) & (floats(table["held_out"]) == 0)
        chosen = learned & (label < 0) & np.isfinite(target)
        places = np.clip(np.searchsorted(EDGES, target[chosen], "right") - 1, 0, len(EDGES) - 2)
        np.add.at(counts, (kinds_of(table)[chosen], places), 1)
        total += float(target[chosen].sum())
        events, positives = events + int(learned.sum()), positives + int((label[learned] == 1).sum())
    return Targets(counts, total, events, positives)

"""The label log as the console asks it. Plain and synchronous, for one thread of a process that may be slow.

Every answer says what was searched: a query looks at about `SCAN_ROWS` rows, the newest first, and then stops.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.label_files import LABELS
from service.archive.asked import AuditAsked, HoursAsked, IdsAsked, LabelsAsked, SuspectsAsked
from service.archive.label_export import export_rows, write_figures
from service.archive.label_files import SCAN_ROWS, LabelFiles
from service.archive.label_search import search
from service.archive.noise_audit import audited
from service.archive.recent_ids import Pair, pairs, recent_ids
from service.archive.suspect_rows import suspects
from service.archive.target_histogram import histogram


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Archive:
    """Answers about the label log of one home, ready for JSON."""

    def __init__(self, home: Path, now_ms: Callable[[], int] = _now_ms, most_rows: int = SCAN_ROWS) -> None:
        """Read the label log under `home`, which may not be there yet."""
        self._files = LabelFiles(home / LABELS, now_ms, most_rows)

    def labels(self, asked: LabelsAsked) -> dict[str, Any]:
        """Return rows of the label log: `rows`, `searched`, `more`."""
        return search(self._files, asked)

    def event(self, event_id: str, hours: float) -> dict[str, Any] | None:
        """Return the row of an event, or None. An id that two users' events share gives the newest."""
        rows = self.labels(LabelsAsked(event=event_id, hours=hours, limit=1))["rows"]
        return rows[0] if rows else None

    def histogram(self, asked: HoursAsked) -> dict[str, Any]:
        """Return where the targets of the unlabelled lie."""
        return histogram(self._files, asked)

    def audit(self, asked: AuditAsked) -> dict[str, Any]:
        """Return how wrong watch time is as a label, by group of views."""
        return audited(self._files, asked)

    def suspects(self, asked: SuspectsAsked) -> dict[str, Any]:
        """Return the users or items whose watches and relevance are apart beyond chance, the farthest first."""
        return suspects(self._files, asked)

    def ids(self, asked: IdsAsked) -> dict[str, Any]:
        """Return recent users or items, the most active first."""
        return recent_ids(self._files, asked)

    def pairs(self, count: int, hours: float = 24.0) -> list[Pair]:
        """Return up to `count` different recent pairs of user, item and surface."""
        return pairs(self._files, count, hours)

    def export_labels(self, asked: LabelsAsked, out: Path) -> int:
        """Write rows to a .csv or .parquet file, up to MOST_EXPORTED; return how many."""
        return export_rows(self._files, asked, out)

    def export_audit(self, asked: AuditAsked, out: Path) -> int:
        """Write the groups of an audit, and all views, to a .csv file; return how many lines."""
        answer = self.audit(asked)
        return write_figures([*answer["rows"], answer["overall"]], out)

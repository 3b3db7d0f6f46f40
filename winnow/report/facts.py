"""Everything a report says, gathered from one home."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.label_files import HOUR_MS, LABELS
from contract.registry import Registry
from service.archive.archive import Archive
from service.archive.asked import AuditAsked, By, Kind, SuspectsAsked
from service.archive.label_files import SCAN_ROWS, LabelFiles
from winnow.report.faults import Faults, faults_of
from winnow.report.hours import HourOfLog, hours_of
from winnow.report.served import served_by
from winnow.report.versions import Versions, versions_of

AUDITS: tuple[By, ...] = ("duration", "position", "surface", "hour", "flag")
KINDS: tuple[Kind, ...] = ("user", "item")


@dataclass(frozen=True)
class Facts:
    """What a report says."""

    home: Path
    since: str
    from_ms: int
    to_ms: int
    hours: list[HourOfLog]
    searched: dict[str, Any]
    audits: dict[str, dict[str, Any]]
    suspects: dict[str, dict[str, Any]]
    versions: Versions
    faults: Faults


def gather(
    home: Path,
    registry_directory: Path,
    redis_url: str | None,
    since: str,
    within_hours: float,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> Facts:
    """Gather the facts of the last hours. The registry and label log need not be there yet."""
    to_ms = now_ms()
    from_ms = int(to_ms - within_hours * HOUR_MS)
    registry = Registry(registry_directory)
    history = registry.history()
    files = LabelFiles(home / LABELS, lambda: to_ms, SCAN_ROWS)
    searched = files.window(within_hours)
    hours = hours_of(files, searched, from_ms, served_by(registry, history))
    archive = Archive(home, lambda: to_ms)
    return Facts(
        home,
        since,
        from_ms,
        to_ms,
        hours,
        searched.told(),
        {by: archive.audit(AuditAsked(by=by, hours=within_hours)) for by in AUDITS},
        {kind: archive.suspects(SuspectsAsked(kind=kind, hours=within_hours, limit=15)) for kind in KINDS},
        versions_of(registry, history, from_ms),
        faults_of(home, redis_url, from_ms),
    )

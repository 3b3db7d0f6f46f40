"""The trainer's side of the journal: gathers what happens and writes it about once a second.

Learning owes it nothing. It only reads what is learned, so weights are bitwise the same without it; it rests after each
write until writing was no more than `TIME_SHARE` of the time, and what a log that is away does not take is dropped.
"""

import math
import time
from collections import deque
from collections.abc import Callable

import structlog

from contract.errors import LogUnavailable
from contract.journal import Direction, Entry, Journal, Version
from trainer.checkpoint import Account
from trainer.journal_entries import Seen, direction_entry, progress_entry, version_entry
from trainer.progressive import Quality
from trainer.publish import Published
from trainer.step_report import StepReport

EVERY_S = 1.0
TIME_SHARE = 0.04  # most of the trainer's time that it takes
QUALITY_EVERY_S = 5.0  # the figures take some 10 ms
MOST_DIRECTIONS = 20  # a write; the latest
MOST_VERSIONS = 20
log = structlog.get_logger()


class Chronicle:
    """What has happened since the last write. Used by the trainer's one thread."""

    def __init__(self, journal: Journal, acting: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `journal`; `acting` says whether directions are acted on. `clock` is in seconds."""
        self._journal = journal
        self._acting = acting
        self._clock = clock
        self._seen = Seen()
        self._directions: deque[Direction] = deque(maxlen=MOST_DIRECTIONS)
        self._versions: deque[Version] = deque(maxlen=MOST_VERSIONS)
        self._quality: Quality | None = None
        self._quality_until = 0.0
        self._due = 0.0
        self._is_away = False

    def saw(self, report: StepReport, stepped: int) -> None:
        """Note one step, after which the learner has stepped through `stepped` events."""
        self._seen.count(report)
        if report.steered is not None:
            self._directions.append(direction_entry(report, report.steered, stepped, self._acting, _now_ms()))

    def published(self, published: Published, quality: Quality, account: Account) -> None:
        """Note one publication."""
        self._versions.append(version_entry(published, quality, account, _now_ms()))
        self._keep(quality)

    def tell(self, account: Account, waiting_entries: int, checkpoint: int, quality: Callable[[], Quality]) -> None:
        """Write what there is to tell, if it is time. Never raises for a log that is away."""
        started = self._clock()
        if started < self._due:
            return
        if self._quality is None or started >= self._quality_until:
            self._keep(quality())
        assert self._quality is not None
        progress = progress_entry(account, waiting_entries, checkpoint, self._quality, self._seen, _now_ms())
        self._write([*self._directions, *self._versions, progress])
        self._directions.clear()
        self._versions.clear()
        ended = self._clock()
        self._due = max(started + EVERY_S, ended + (ended - started) * (1.0 / TIME_SHARE - 1.0))

    def _keep(self, quality: Quality) -> None:
        rest_s = 0.0 if math.isnan(quality.auc) else QUALITY_EVERY_S  # whoever watches a first start waits for it
        self._quality, self._quality_until = quality, self._clock() + rest_s

    def _write(self, entries: list[Entry]) -> None:
        try:
            self._journal.write(entries)
        except LogUnavailable as error:
            if not self._is_away:
                log.warning("journal_dropped", entries=len(entries), error=str(error))
            self._is_away = True
        else:
            self._is_away = False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

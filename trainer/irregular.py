"""What is wrong with the log, told once: entries deleted unread, keys that are no streams, a log that regressed."""

import structlog

from contract.event_log import BEGINNING, Position, StreamId, stream_key
from contract.log_claim import LogClaim
from trainer.metrics import TrainerMetrics

log = structlog.get_logger()


class Irregular:
    """Tells of irregularities, in the trainer's log and metrics. What is done about them is the worker's."""

    def __init__(self, claim: LogClaim, metrics: TrainerMetrics) -> None:
        """Begin with nothing told."""
        self._claim = claim
        self._metrics = metrics
        self._broken: set[int] = set()
        self._deleted: Position = {}

    def look_for_gaps(self, position: Position) -> None:
        """Tell of entries that somebody deleted before they were read."""
        deleted: dict[int, StreamId] = self._claim.deleted_after(position)
        for partition, newest in deleted.items():
            if newest > self._deleted.get(partition, BEGINNING):
                log.error("entries_deleted_unread", partition=partition, newest=str(newest))
                self._metrics.observe_gap()
        self._deleted |= deleted

    def tell_broken(self, broken: dict[int, str]) -> None:
        """Tell of partitions whose key is no stream, with what the server says."""
        for partition in broken.keys() - self._broken:
            key = stream_key(partition)
            log.error("partition_unreadable", key=key, error=broken[partition], remedy=f"rename {key} away: no stream")
        self._broken = set(broken)
        self._metrics.observe_broken(len(broken))

    def tell_regressed(self, lost: Position) -> None:
        """Tell of partitions that are not the ones in which these positions were taken."""
        for partition, position in lost.items():
            log.error(
                "log_regressed",
                partition=partition,
                position=str(position),
                remedy="the log lost entries that were learned already; see why its server did, nothing is skipped",
            )
        self._metrics.observe_regressions(len(lost))

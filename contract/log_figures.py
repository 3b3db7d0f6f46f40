"""How the event log is doing, seen from outside: how full, how far behind, whether it can write. Three round trips.

Entries are counted by the server where it can. It cannot between the ends of a stream whose position was set by id, as
the trainer's is: then the share of them that is untrained is taken from times, between the oldest and the newest.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import ResponseError

from contract.dead_letters import DEAD_LETTERS_KEY
from contract.event_log import BEGINNING, GROUP, EventLog, StreamId, stream_key, translated
from contract.hashing import PARTITIONS


@dataclass(frozen=True)
class LogFigures:
    """One look at the log."""

    entries: dict[int, int]  # by partition, trained or not
    lag: dict[int, int]  # by partition, of those no checkpoint covers yet
    oldest_untrained_s: float  # age of the oldest of them; 0 without any
    memory_used_ratio: float  # nan where the server has no bound
    write_ok: bool  # the append-only file was written and rewritten without a fault when last tried
    dead_letters: int

    @property
    def lag_entries(self) -> int:
        """Entries of all partitions that no checkpoint covers yet."""
        return sum(self.lag.values())


@dataclass(frozen=True)
class _Stream:
    """What the server says of one partition."""

    length: int
    first: StreamId
    last: StreamId
    covered: StreamId
    lag: int | None

    @classmethod
    def of(cls, info: object, groups: object) -> "_Stream | None":
        """Read two answers; None where there is no stream."""
        if not isinstance(info, Mapping) or not info["first-entry"]:
            return None
        told = groups if isinstance(groups, list) else []
        mine = next((group for group in told if group["name"] == GROUP.encode()), None)
        covered = StreamId.parse(mine["last-delivered-id"]) if mine else BEGINNING
        first, last = StreamId.parse(info["first-entry"][0]), StreamId.parse(info["last-generated-id"])
        lag = mine["lag"] if mine and covered >= first else None
        return cls(info["length"], first, last, covered, lag)

    @property
    def untrained(self) -> int:
        """Entries after the position."""
        if self.covered < self.first:
            return self.length
        if self.covered >= self.last:
            return 0
        if self.lag is not None:
            return self.lag
        share = (self.last.ms - self.covered.ms) / max(self.last.ms - self.first.ms, 1)
        return min(max(round(share * (self.length - 1)), 1), self.length - 1)


@translated()
def read_figures(log: EventLog) -> LogFigures:
    """Look once. Raises LogUnavailable."""
    partitions = range(PARTITIONS)
    with log.client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.info("memory")
        pipe.info("persistence")
        pipe.xlen(DEAD_LETTERS_KEY)
        for partition in partitions:
            pipe.xinfo_stream(stream_key(partition))
            pipe.xinfo_groups(stream_key(partition))
        (seconds, micros), memory, persistence, letters, *told = pipe.execute(raise_on_error=False)
    streams = {partition: _Stream.of(*told[2 * partition : 2 * partition + 2]) for partition in partitions}
    known = {partition: stream for partition, stream in streams.items() if stream is not None}
    oldest_ms = _oldest_untrained_ms(log, known)
    now_ms = seconds * 1000 + micros // 1000
    return LogFigures(
        entries={partition: known[partition].length if partition in known else 0 for partition in partitions},
        lag={partition: known[partition].untrained if partition in known else 0 for partition in partitions},
        oldest_untrained_s=max(now_ms - oldest_ms, 0) / 1000 if oldest_ms is not None else 0.0,
        memory_used_ratio=_memory_ratio(memory),
        write_ok=_writes(persistence),
        dead_letters=letters if isinstance(letters, int) else 0,
    )


def _oldest_untrained_ms(log: EventLog, streams: Mapping[int, _Stream]) -> int | None:
    """Return the time of the first entry after the position of any partition."""
    behind = {partition: stream for partition, stream in streams.items() if stream.untrained}
    within = [partition for partition, stream in behind.items() if stream.covered >= stream.first]
    found = [stream.first.ms for stream in behind.values() if stream.covered < stream.first]
    with log.client.pipeline(transaction=False) as pipe:
        for partition in within:
            pipe.xrange(stream_key(partition), min=str(behind[partition].covered.next), count=1)
        rows = cast(list[list[Any]], pipe.execute()) if within else []
    found += [StreamId.parse(row[0][0]).ms for row in rows if row]
    return min(found, default=None)


def _memory_ratio(memory: Mapping[str, Any] | ResponseError) -> float:
    if isinstance(memory, ResponseError) or not memory.get("maxmemory"):
        return math.nan
    return float(memory["used_memory"] / memory["maxmemory"])


def _writes(persistence: Mapping[str, Any] | ResponseError) -> bool:
    """Whether the server reports no fault of its append-only file; one that tells nothing reports none."""
    if isinstance(persistence, ResponseError):
        return True
    states = (persistence.get(f"aof_last_{what}_status", "ok") for what in ("write", "bgrewrite"))
    return all(state == "ok" for state in states)

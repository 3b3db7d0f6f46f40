"""The event log: Redis Streams, one per partition, as the trainer and the command line use them.

The service appends blocks (`contract.async_event_log`); the trainer reads after a position of its own. Reads never go
through a consumer group, where one lost reply would skip entries. Each read begins at the entry of the position itself,
its anchor: where that is not what it was, the log has lost entries or another one stands in its place, and new entries
may hide behind the position (decision 13). Publishing positions and trimming are in `contract.log_claim`.

Promises kept here: a returned append is on disk (P1, with `appendfsync always`); no entry is skipped (P3).
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract.errors import LogUnavailable
from contract.hashing import PARTITIONS

GROUP = "winnow-trainer"
_BLOCK = b"block"
_COUNT = b"events"
_TRACE = b"trace"


class StreamId(NamedTuple):
    """A stream id: server time in ms and a sequence number; ids order entries."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: bytes | str) -> "StreamId":
        """Read `ms-seq`."""
        ms, seq = (text.decode() if isinstance(text, bytes) else text).split("-")
        return cls(int(ms), int(seq))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @property
    def next(self) -> "StreamId":
        """The least id above this one."""
        return StreamId(self.ms, self.seq + 1)


Position = dict[int, StreamId]  # partition -> last id that is covered
Anchors = dict[int, int]  # partition -> CRC-32 of the block at its position
BEGINNING = StreamId(0, 0)


@dataclass(frozen=True)
class Entry:
    """One stored block: where it stands, how many events it says it holds, its bytes."""

    partition: int
    id: StreamId
    events: int
    block: bytes
    trace: bytes = b""  # of the requests that are traced, see contract.trace_parents

    @property
    def source(self) -> str:
        """Where it stands, in words: partition/id."""
        return f"{self.partition}/{self.id}"

    @property
    def anchor(self) -> int:
        """What it is known by when it comes again: the CRC-32 of its block."""
        return zlib.crc32(self.block)


@dataclass(frozen=True)
class ReadResult:
    """Entries of all partitions in one deterministic order, complete up to `complete_before_ms` of server time."""

    entries: list[Entry]  # ordered by (id, partition)
    complete_before_ms: int  # every entry with a smaller id time has been returned by now
    now_ms: int = 0  # server time
    lost: list[int] = field(default_factory=list)  # partitions whose anchor is gone; nothing of them was returned
    broken: dict[int, str] = field(default_factory=dict)  # partitions that cannot be read, and what the server says


@dataclass(frozen=True)
class Lag:
    """What is stored and not yet covered by a checkpoint."""

    entries: int
    oldest_ms: int | None  # server time of the oldest uncovered entry


def stream_key(partition: int) -> str:
    """Return the stream of a partition, hash-tagged so that the same keys serve on Redis Cluster."""
    return f"winnow:events:{{{partition:02d}}}"


def append_arguments(entry_events: int, block: bytes, trace: bytes = b"") -> dict[Any, Any]:
    """Return the fields of one entry; `trace` only where there is one."""
    fields: dict[Any, Any] = {_BLOCK: block, _COUNT: entry_events}
    return fields | {_TRACE: trace} if trace else fields


@contextmanager
def translated() -> Iterator[None]:
    """Turn what Redis raises, refusals of a full disk or a loading server too, into LogUnavailable."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise LogUnavailable(f"the event log did not do it ({error}); is its server running and healthy?") from error


class EventLog:
    """The log as the trainer and the command line use it. Synchronous; every call has a deadline."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        """Connect lazily to redis://, rediss:// or unix:// `url`. `client` is for those who share its deadline."""
        self.client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    @translated()
    def ping(self) -> str:
        """Return the server's version, or raise LogUnavailable."""
        info = self.client.info("server")
        return str(info.get("valkey_version") or info.get("redis_version"))

    @translated()
    def append(self, blocks: Mapping[int, tuple[int, bytes]]) -> dict[int, StreamId]:
        """Append {partition: (events, block)} in one transaction; return the new ids once the server confirms."""
        with self.client.pipeline(transaction=True) as pipe:
            for partition, (count, block) in blocks.items():
                pipe.xadd(stream_key(partition), append_arguments(count, block))
            return {p: StreamId.parse(new) for p, new in zip(blocks, pipe.execute(), strict=True)}

    @translated()
    def read_after(self, position: Position, count: int, anchors: Anchors | None = None) -> ReadResult:
        """Return up to `count` entries a partition after `position`, merged in the order of their ids.

        Entries below `complete_before_ms` come in an order that does not depend on how reads were cut; use no others,
        and where a cut leaves none below it, ask for more. Server time is taken before the streams are read, so an
        entry that comes later has an id of that time or above. (A server clock that is set back can break the order
        between partitions, never inside one.)

        With `anchors`, a partition whose entry at the position is not there, or not the same, is `lost`: in the same
        transaction as the read, so that a position never passes entries that came into a log that lost its tail.
        """
        after = [position.get(partition, BEGINNING) for partition in range(PARTITIONS)]
        anchored = [anchors is not None and start > BEGINNING for start in after]
        with self.client.pipeline(transaction=True) as pipe:
            pipe.time()
            for partition, start in enumerate(after):
                first = start if anchored[partition] else start.next
                pipe.xrange(stream_key(partition), min=str(first), count=count + anchored[partition])
            (seconds, micros), *streams = pipe.execute(raise_on_error=False)
        now_ms = complete = seconds * 1000 + micros // 1000
        entries, lost, broken = list[Entry](), list[int](), dict[int, str]()
        for partition, rows in enumerate(streams):
            if isinstance(rows, redis.ResponseError) and "WRONGTYPE" in str(rows):
                broken[partition] = str(rows)
                continue
            if isinstance(rows, Exception):
                raise rows
            found = [entry_of(partition, row) for row in rows]
            if anchored[partition]:
                if not is_anchor(found[:1], after[partition], (anchors or {}).get(partition)):
                    lost.append(partition)
                    continue
                found = found[1:]
            if len(found) == count:  # cut short: nothing is known past its last entry
                complete = min(complete, found[-1].id.ms)
            entries += found
        entries.sort(key=lambda entry: (entry.id, entry.partition))
        return ReadResult(entries, complete, now_ms, lost, broken)

    @translated()
    def published(self) -> Position:
        """Return the position last published; the beginning where none was."""
        position: Position = {}
        for partition in range(PARTITIONS):
            groups = self.client.xinfo_groups(stream_key(partition)) if self._exists(partition) else []
            names = {group["name"]: group for group in groups}
            mine = names.get(GROUP.encode())
            position[partition] = StreamId.parse(mine["last-delivered-id"]) if mine else BEGINNING
        return position

    @translated()
    def last(self) -> Position:
        """Return the id of the newest entry of each partition; the beginning where there was never one."""
        return {
            partition: StreamId.parse(self.client.xinfo_stream(stream_key(partition))["last-generated-id"])
            if self._exists(partition)
            else BEGINNING
            for partition in range(PARTITIONS)
        }

    @translated()
    def lag(self, position: Position) -> Lag:
        """Return what is stored after `position`."""
        entries, oldest = 0, None
        for partition in range(PARTITIONS):
            key, after = stream_key(partition), position.get(partition, BEGINNING)
            first = cast(list[Any], self.client.xrange(key, min=str(after.next), count=1))
            if first:
                ms = StreamId.parse(first[0][0]).ms
                oldest = ms if oldest is None else min(oldest, ms)
                entries += self.client.xlen(key) - self._covered(key, after)
        return Lag(entries, oldest)

    def _exists(self, partition: int) -> bool:
        return bool(self.client.exists(stream_key(partition)))

    def _covered(self, key: str, position: StreamId) -> int:
        return len(cast(list[Any], self.client.xrange(key, max=str(position)))) if position > BEGINNING else 0


def entry_of(partition: int, row: Sequence[Any]) -> Entry:
    """Read one raw entry; anything unreadable in it becomes an empty block, which decoding refuses."""
    entry_id, found = row
    count = found.get(_COUNT, b"0")
    events = int(count) if count.isdigit() and len(count) < 10 else 0
    return Entry(partition, StreamId.parse(entry_id), events, found.get(_BLOCK, b""), found.get(_TRACE, b""))


def is_anchor(found: Sequence[Entry], position: StreamId, anchor: int | None) -> bool:
    """Whether the first entry that was found is the one the position stands on."""
    return bool(found) and found[0].id == position and anchor in (None, found[0].anchor)

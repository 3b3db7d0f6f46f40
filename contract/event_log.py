"""The event log: Redis Streams, one per partition, as the trainer and the command line use them.

The service appends blocks (`contract.async_event_log`); the trainer reads after a position of its own, publishes the
position its checkpoint covers, and trims behind it. Reads never go through a consumer group, where one lost reply would
skip entries; the group only shows the lag to whoever looks.

Promises kept here: a returned append is on disk (P1, with `appendfsync always`); untrained entries are never
trimmed (P9).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract.errors import LogUnavailable
from contract.hashing import PARTITIONS

GROUP = "winnow-trainer"
_BLOCK = b"block"
_COUNT = b"events"


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
BEGINNING = StreamId(0, 0)


@dataclass(frozen=True)
class Entry:
    """One stored block: where it stands, how many events it says it holds, its bytes."""

    partition: int
    id: StreamId
    events: int
    block: bytes


@dataclass(frozen=True)
class ReadResult:
    """Entries of all partitions in one deterministic order, complete up to `complete_before_ms` of server time."""

    entries: list[Entry]  # ordered by (id, partition)
    complete_before_ms: int  # every entry with a smaller id time has been returned by now


@dataclass(frozen=True)
class Lag:
    """What is stored and not yet covered by a checkpoint."""

    entries: int
    oldest_ms: int | None  # server time of the oldest uncovered entry


def stream_key(partition: int) -> str:
    """Return the stream of a partition, hash-tagged so that the same keys serve on Redis Cluster."""
    return f"winnow:events:{{{partition:02d}}}"


DEAD_LETTERS_KEY = "winnow:dead-letters"


def append_arguments(entry_events: int, block: bytes) -> dict[Any, Any]:
    """Return the fields of one entry."""
    return {_BLOCK: block, _COUNT: entry_events}


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what Redis raises, refusals of a full disk or a loading server too, into LogUnavailable."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise LogUnavailable(f"the event log did not do it ({error}); is its server running and healthy?") from error


class EventLog:
    """The log as the trainer and the command line use it. Synchronous; every call has a deadline."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        """Connect lazily to redis://, rediss:// or unix:// `url`."""
        self._redis = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    @_translated()
    def ping(self) -> str:
        """Return the server's version, or raise LogUnavailable."""
        info = self._redis.info("server")
        return str(info.get("valkey_version") or info.get("redis_version"))

    @_translated()
    def append(self, blocks: Mapping[int, tuple[int, bytes]]) -> dict[int, StreamId]:
        """Append {partition: (events, block)} in one transaction; return the new ids once the server confirms."""
        with self._redis.pipeline(transaction=True) as pipe:
            for partition, (count, block) in blocks.items():
                pipe.xadd(stream_key(partition), append_arguments(count, block))
            return {p: StreamId.parse(new) for p, new in zip(blocks, pipe.execute(), strict=True)}

    @_translated()
    def read_after(self, position: Position, count: int) -> ReadResult:
        """Return up to `count` entries a partition after `position`, merged in the order of their ids.

        Entries below `complete_before_ms` come in an order that does not depend on how reads were cut; use no others,
        and where a cut leaves none below it, ask for more. Server time is taken before the streams are read, so an
        entry that comes later has an id of that time or above. (A server clock that is set back can break the order
        between partitions, never inside one.)
        """
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.time()
            for partition in range(PARTITIONS):
                after = position.get(partition, BEGINNING)
                pipe.xrange(stream_key(partition), min=str(after.next), count=count)
            (seconds, micros), *streams = pipe.execute()
        complete = seconds * 1000 + micros // 1000
        entries = [_entry(p, row) for p, rows in enumerate(streams) for row in rows]
        for rows in streams:
            if len(rows) == count:  # cut short: nothing is known past its last entry
                complete = min(complete, StreamId.parse(rows[-1][0]).ms)
        return ReadResult(sorted(entries, key=lambda entry: (entry.id, entry.partition)), complete)

    @_translated()
    def publish(self, position: Position) -> None:
        """Show the position a checkpoint covers, through the consumer group, for lag."""
        for partition, covered in position.items():
            self._move_group(partition, covered)

    @_translated()
    def continue_after(self, position: Position) -> list[int]:
        """Make new ids follow `position` where the log lost its newest entries; return those partitions.

        Call it when a checkpoint is taken up: ids that went backwards would hide new entries behind the position.
        """
        last = self.last()
        behind = [partition for partition, covered in position.items() if last[partition] < covered]
        for partition in behind:
            self._move_group(partition, position[partition])  # makes the stream, if it is gone
            self._redis.execute_command("XSETID", stream_key(partition), str(position[partition]))  # type: ignore[no-untyped-call]
        return behind

    @_translated()
    def published(self) -> Position:
        """Return the position last published; the beginning where none was."""
        position: Position = {}
        for partition in range(PARTITIONS):
            groups = self._redis.xinfo_groups(stream_key(partition)) if self._exists(partition) else []
            names = {group["name"]: group for group in groups}
            mine = names.get(GROUP.encode())
            position[partition] = StreamId.parse(mine["last-delivered-id"]) if mine else BEGINNING
        return position

    @_translated()
    def last(self) -> Position:
        """Return the id of the newest entry of each partition; the beginning where there was never one."""
        return {
            partition: StreamId.parse(self._redis.xinfo_stream(stream_key(partition))["last-generated-id"])
            if self._exists(partition)
            else BEGINNING
            for partition in range(PARTITIONS)
        }

    @_translated()
    def trim_behind(self, position: Position) -> int:
        """Remove entries covered by `position`; return how many went. Nothing after the position is touched."""
        with self._redis.pipeline(transaction=False) as pipe:
            for partition, covered in position.items():
                pipe.xtrim(stream_key(partition), minid=str(covered.next), approximate=False)
            return sum(pipe.execute())

    @_translated()
    def lag(self, position: Position) -> Lag:
        """Return what is stored after `position`."""
        entries, oldest = 0, None
        for partition in range(PARTITIONS):
            key, after = stream_key(partition), position.get(partition, BEGINNING)
            first = cast(list[Any], self._redis.xrange(key, min=str(after.next), count=1))
            if first:
                ms = StreamId.parse(first[0][0]).ms
                oldest = ms if oldest is None else min(oldest, ms)
                entries += self._redis.xlen(key) - self._covered(key, after)
        return Lag(entries, oldest)

    @_translated()
    def dead_letter(self, entry: Entry, reason: str) -> None:
        """Put aside an entry the trainer cannot use, with its reason and where it stood."""
        row: dict[Any, Any] = {
            "reason": reason,
            "source": f"{entry.partition}/{entry.id}",
            "events": entry.events,
            "block": entry.block,
        }
        self._redis.xadd(DEAD_LETTERS_KEY, row)

    @_translated()
    def dead_letters(self) -> list[dict[str, str]]:
        """Return the reasons and sources of all dead letters, oldest first, each source once."""
        rows = cast(list[Any], self._redis.xrange(DEAD_LETTERS_KEY))
        letters = [{k.decode(): v.decode() for k, v in row.items() if k != _BLOCK} for _, row in rows]
        return list({letter["source"]: letter for letter in letters}.values())

    def _move_group(self, partition: int, covered: StreamId) -> None:
        try:
            self._redis.xgroup_create(stream_key(partition), GROUP, id=str(covered), mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
            self._redis.xgroup_setid(stream_key(partition), GROUP, id=str(covered))

    def _exists(self, partition: int) -> bool:
        return bool(self._redis.exists(stream_key(partition)))

    def _covered(self, key: str, position: StreamId) -> int:
        return len(cast(list[Any], self._redis.xrange(key, max=str(position)))) if position > BEGINNING else 0


def _entry(partition: int, row: Sequence[Any]) -> Entry:
    """Read one raw entry; anything unreadable in it becomes an empty block, which decoding refuses."""
    entry_id, found = row
    count = found.get(_COUNT, b"0")
    events = int(count) if count.isdigit() and len(count) < 10 else 0
    return Entry(partition, StreamId.parse(entry_id), events, found.get(_BLOCK, b""))

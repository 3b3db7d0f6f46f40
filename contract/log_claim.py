"""A trainer's claim on the log: it shows its position and trims only while no newer trainer has claimed it.

Each partition has an epoch, a number in the same hash slot as its stream. A trainer that attaches raises all of them;
whoever finds a higher one than its own is fenced and must end. Position and trim of a partition go in one transaction
that fails if the epoch changes under it, on one connection: so the server that was looked at is the one that trims.

Promises kept here: untrained entries are never trimmed (P9), not even by a trainer that slept through its successor's
start, nor in a log that lost its tail; one trainer learns (P3).
"""

from collections.abc import Mapping
from typing import Any, cast

import redis
from redis.client import Pipeline

from contract.errors import Fenced
from contract.event_log import (
    BEGINNING,
    GROUP,
    Anchors,
    EventLog,
    Position,
    StreamId,
    entry_of,
    is_anchor,
    stream_key,
    translated,
)
from contract.hashing import PARTITIONS


def epoch_key(partition: int) -> str:
    """Return the key of a partition's epoch; its hash tag is the stream's."""
    return f"winnow:trainer-epoch:{{{partition:02d}}}"


class LogClaim:
    """The claim of one process. `take` it once; every later call raises Fenced once a newer one has been taken."""

    def __init__(self, log: EventLog) -> None:
        """Prepare a claim on `log`; nothing is claimed yet."""
        self._client = log.client
        self.epochs: dict[int, int] = {}

    @translated()
    def take(self) -> None:
        """Claim every partition: whoever held the log before is fenced from now on."""
        with self._client.pipeline(transaction=False) as pipe:
            for partition in range(PARTITIONS):
                pipe.incr(epoch_key(partition))
            self.epochs = dict(enumerate(pipe.execute()))

    @translated()
    def check(self) -> None:
        """Raise Fenced if a newer trainer has claimed a partition."""
        with self._client.pipeline(transaction=False) as pipe:
            for partition in range(PARTITIONS):
                pipe.get(epoch_key(partition))
            for partition, stored in enumerate(pipe.execute()):
                self._refuse_if_newer(partition, stored)

    @translated()
    def cover(self, position: Position, trim_to: Position, anchors: Anchors | None = None) -> list[int]:
        """Show `position`, and remove the entries before those at `trim_to`; return partitions left as they were.

        The entry at `trim_to` itself stays, for reads to begin at. A partition is left alone where the entry at
        its position is gone, or its key is no stream: the next read says so.
        """
        return [
            partition
            for partition, covered in position.items()
            if not self._cover(partition, covered, trim_to.get(partition, BEGINNING), (anchors or {}).get(partition))
        ]

    @translated()
    def deleted_after(self, position: Position) -> dict[int, StreamId]:
        """Return the newest entry that was deleted unread (XDEL by a stranger), of each partition that has one."""
        with self._client.pipeline(transaction=False) as pipe:
            for partition in range(PARTITIONS):
                pipe.xinfo_stream(stream_key(partition))
            told = pipe.execute(raise_on_error=False)
        deleted = {
            partition: StreamId.parse(info["max-deleted-entry-id"])
            for partition, info in enumerate(told)
            if isinstance(info, Mapping)
        }
        return {p: newest for p, newest in deleted.items() if newest > position.get(p, BEGINNING)}

    def _cover(self, partition: int, covered: StreamId, trim_to: StreamId, anchor: int | None) -> bool:
        key = stream_key(partition)
        while True:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.watch(epoch_key(partition))  # type: ignore[no-untyped-call]
                stored = cast(bytes | None, pipe.get(epoch_key(partition)))
                self._refuse_if_newer(partition, stored)
                if pipe.type(key) not in (b"stream", b"none") or not _stands(pipe, partition, covered, anchor):
                    return False
                pipe.multi()
                if self.epochs and stored != str(self.epochs[partition]).encode():
                    pipe.set(epoch_key(partition), self.epochs[partition])  # a flush took it away
                pipe.xgroup_create(key, GROUP, id=str(covered), mkstream=True)
                pipe.xgroup_setid(key, GROUP, id=str(covered))
                if trim_to > BEGINNING:
                    pipe.xtrim(key, minid=str(trim_to), approximate=False)
                try:
                    created, *others = pipe.execute(raise_on_error=False)[-3 if trim_to > BEGINNING else -2 :]
                except redis.WatchError:
                    continue  # the next look says whose it is now
            if isinstance(created, Exception) and "BUSYGROUP" not in str(created):
                raise created
            for answer in others:
                if isinstance(answer, Exception):
                    raise answer
            return True

    def _refuse_if_newer(self, partition: int, stored: bytes | None) -> None:
        ours = self.epochs.get(partition, 0)
        if self.epochs and stored is not None and int(stored) > ours:
            raise Fenced(
                f"a newer trainer has claimed the event log (epoch {int(stored)} of partition {partition}, ours is "
                f"{ours}); stop one of the two, or give each a log of its own"
            )


def _stands(pipe: Pipeline, partition: int, covered: StreamId, anchor: int | None) -> bool:
    """Whether the entry at the position is what it was."""
    if covered == BEGINNING:
        return True
    rows = cast(list[Any], pipe.xrange(stream_key(partition), min=str(covered), max=str(covered)))
    return is_anchor([entry_of(partition, row) for row in rows], covered, anchor)

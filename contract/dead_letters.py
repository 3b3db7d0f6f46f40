"""Dead letters: entries and events the trainer could not use, with their reason and where they stood (promise P8).

    winnow:dead-letters              a stream, one letter a source, oldest first
    {winnow:dead-letters}:sources    which letter is whose; the hash tag brings both into one slot of a cluster

A source is written once: a trainer that dies and reads again puts nothing aside twice. Number and age are bounded; the
oldest go first. One process writes (the trainer that holds the log), others read and remove.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from contract.event_log import EventLog, translated

DEAD_LETTERS_KEY = "winnow:dead-letters"
SOURCES_KEY = "{winnow:dead-letters}:sources"
_AT_ONCE = 100
_DAY_MS = 86_400_000


class Reason(StrEnum):
    """Why something was put aside. A fixed set: it labels a metric."""

    NOT_A_BLOCK = "not-a-block"
    UNKNOWN_VERSION = "unknown-version"
    UNSOUND = "unsound"  # a block by its first bytes, that breaks its own lengths or a bound
    KILLED = "killed-the-trainer"


@dataclass(frozen=True)
class DeadLetter:
    """One entry, or one event of an entry, that was put aside."""

    source: str  # partition/id, and #n for the n-th event of the entry
    reason: Reason
    why: str  # in words
    events: int  # that the block says it holds
    block: bytes


class DeadLetters:
    """The letters of one log."""

    def __init__(self, log: EventLog, most: int = 10_000, days: float = 7.0) -> None:
        """Keep at most `most` letters, none older than `days` (when the next one comes)."""
        self._client = log.client
        self._most = most
        self._days = days

    @translated()
    def put(self, letter: DeadLetter) -> bool:
        """Write a letter, unless its source has one; return whether it was written."""
        if self._client.hexists(SOURCES_KEY, letter.source):
            return False
        self._make_room()
        new = cast(bytes, self._client.xadd(DEAD_LETTERS_KEY, _row(letter)))
        # A death in between leaves a letter without its source: it may come again, and is never missed.
        self._client.hset(SOURCES_KEY, letter.source, new)
        return True

    @translated()
    def all(self) -> list[DeadLetter]:
        """Return every letter, oldest first, each source once."""
        return list({letter.source: letter for _, letter in self._rows()}.values())

    def each(self) -> Iterator[DeadLetter]:
        """Yield every letter, oldest first, a few in memory at a time. Raises LogUnavailable."""
        with translated():
            for _, letter in self._rows():
                yield letter

    @translated()
    def find(self, source: str) -> DeadLetter | None:
        """Return the letter of a source."""
        return next((letter for _, letter in self._rows() if letter.source == source), None)

    @translated()
    def remove(self, source: str) -> bool:
        """Remove the letter of a source; return whether there was one."""
        ids = [at for at, letter in self._rows() if letter.source == source]
        if ids:
            self._client.xdel(DEAD_LETTERS_KEY, *ids)
        self._client.hdel(SOURCES_KEY, source)
        return bool(ids)

    @translated()
    def replace(self, letter: DeadLetter) -> None:
        """Put a letter in the place of that of its source: it becomes the newest."""
        old = [at for at, each in self._rows() if each.source == letter.source]
        with self._client.pipeline(transaction=True) as pipe:  # one stream, so both or neither
            if old:
                pipe.xdel(DEAD_LETTERS_KEY, *old)
            pipe.xadd(DEAD_LETTERS_KEY, _row(letter))
            *_, new = pipe.execute()
        self._client.hset(SOURCES_KEY, letter.source, new)

    @translated()
    def count(self) -> int:
        """Return how many there are."""
        return self._client.xlen(DEAD_LETTERS_KEY)

    def _rows(self) -> Iterator[tuple[bytes, DeadLetter]]:
        after = "-"
        while rows := cast(list[Any], self._client.xrange(DEAD_LETTERS_KEY, min=after, count=_AT_ONCE)):
            for at, row in rows:
                yield at, _letter(row)
            after = f"({rows[-1][0].decode()}"

    def _make_room(self) -> None:
        """Remove the oldest, those over the number and some of those over the age."""
        excess = max(self._client.xlen(DEAD_LETTERS_KEY) - self._most + 1, 0)
        oldest = cast(list[Any], self._client.xrange(DEAD_LETTERS_KEY, count=max(excess, 1)))
        bound_ms = time.time() * 1000 - self._days * _DAY_MS
        old = [at for n, (at, _) in enumerate(oldest) if n < excess or int(at.split(b"-")[0]) < bound_ms]
        if old:
            gone = {at: row.get(b"source", b"") for at, row in oldest}
            self._client.xdel(DEAD_LETTERS_KEY, *old)
            self._client.hdel(SOURCES_KEY, *[gone[at].decode() for at in old])


def reason_of(block: bytes) -> Reason:
    """Return what is wrong with a block that could not be decoded, by its first bytes."""
    if block[:3] != b"WNW":
        return Reason.NOT_A_BLOCK
    return Reason.UNSOUND if block[:4] == b"WNW1" else Reason.UNKNOWN_VERSION


def _row(letter: DeadLetter) -> dict[Any, Any]:
    return {
        "source": letter.source,
        "reason": letter.reason.value,
        "why": letter.why,
        "events": letter.events,
        "block": letter.block,
    }


def _letter(row: dict[bytes, bytes]) -> DeadLetter:
    reason = row.get(b"reason", b"").decode()
    return DeadLetter(
        source=row.get(b"source", b"").decode(),
        reason=Reason(reason) if reason in set(Reason) else Reason.UNSOUND,
        why=row.get(b"why", b"").decode(),
        events=int(row.get(b"events", b"0")),
        block=row.get(b"block", b""),
    )

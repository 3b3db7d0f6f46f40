"""The journal: what the trainer tells those who watch it, in a few bounded streams beside the event log.

    {winnow:journal}:progress     once a second: counts since ever or since the trainer's start, and how good it is
    {winnow:journal}:direction    what held-out feedback made of a batch's unlabelled part
    {winnow:journal}:version      what became of a publication

Each kind has a bound of its own, so that many decisions push out no progress. Nothing depends on the journal: it may
lose entries, and it holds no id of a user or an item. What a reader cannot make out, such as an entry of a newer
release, it passes over. Figures that are not known are null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import msgspec

from contract.event_log import EventLog, StreamId, translated

KEPT = 900  # entries a kind, at least; a quarter of an hour of progress
TIMEOUT_S = 0.25  # the journal is not worth waiting for
_MOST_BYTES = 16_384  # of one entry
_ENTRY = b"entry"

Counts = dict[str, int]


class Progress(msgspec.Struct, frozen=True, tag_field="kind", tag="progress"):
    """How far the trainer is. The account goes on after a restart; labels, flags and directions begin anew."""

    KIND: ClassVar[str] = "progress"

    at_ms: int
    read: int  # trained + duplicates + dead
    trained: int
    held_out: int
    capped: int
    duplicates: int
    dead: int
    acknowledged_ms: int  # every event acknowledged before is in
    waiting_entries: int  # read, of a window that is not over
    checkpoint: int
    auc: float | None
    gauc: float | None
    window_auc: float | None
    window_ece: float | None
    window_positives: int
    prior: float | None
    idl_target_mean: float | None
    target_mean: float | None
    pseudo_label_share: float | None
    labels: Counts  # positive, negative, unlabelled
    flags: Counts  # none, swipe, complete, loop; background where the length of the watch says nothing
    directions: Counts  # decisions: direct, keep, inverse


class Direction(msgspec.Struct, frozen=True, tag_field="kind", tag="direction"):
    """What held-out feedback made of the unlabelled examples that the backbone met in one batch."""

    KIND: ClassVar[str] = "direction"

    at_ms: int
    stepped: int  # events that the learner had stepped through
    direction: str  # direct, keep or inverse; of most examples where they differ
    acted: bool  # false under `--meta none`, which only computes it
    losses: dict[str, float | None] | None  # on what is held out, by candidate; null for methods that try none
    examples: int
    groups: dict[str, Counts]  # flag -> direct, keep, inverse -> examples


class Version(msgspec.Struct, frozen=True, tag_field="kind", tag="version"):
    """What became of one publication."""

    KIND: ClassVar[str] = "version"

    at_ms: int
    version: str | None  # null where nothing was fit to be written
    verdict: str
    promoted: bool
    reasons: list[str]
    seconds: float
    delta: bool
    trained_through_ms: int
    auc: float | None
    gauc: float | None
    window_ece: float | None
    bytes: int


Entry = Progress | Direction | Version
KINDS: tuple[str, ...] = (Progress.KIND, Direction.KIND, Version.KIND)
_DECODER: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)


@dataclass(frozen=True)
class Read:
    """Entries in the order in which the log took them, and where to go on from."""

    entries: list[Entry] = field(default_factory=list)
    position: Mapping[str, StreamId] = field(default_factory=dict)  # by kind; a kind without entries has none


def journal_key(kind: str) -> str:
    """Return the stream of a kind; the hash tag brings all into one slot of a cluster."""
    return f"{{winnow:journal}}:{kind}"


class Journal:
    """The journal of one log. Synchronous; every call has the deadline of the log's client."""

    def __init__(self, log: EventLog) -> None:
        """Use the log's connections: give it a short deadline, and no one else's."""
        self._client = log.client

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    @translated()
    def write(self, entries: Sequence[Entry]) -> None:
        """Append entries in one go; the server syncs its disk for each call, so call it once a second at most."""
        if not entries:
            return
        with self._client.pipeline(transaction=False) as pipe:
            for entry in entries:
                row: dict[Any, Any] = {_ENTRY: msgspec.json.encode(entry)}
                pipe.xadd(journal_key(entry.KIND), row, maxlen=KEPT, approximate=True)
            pipe.execute()

    @translated()
    def after(self, position: Mapping[str, StreamId], count: int = KEPT) -> Read:
        """Return entries after a position, at most `count` of a kind; of a kind without a position the latest."""
        with self._client.pipeline(transaction=False) as pipe:
            for kind in KINDS:
                if kind in position:
                    pipe.xrange(journal_key(kind), min=str(position[kind].next), count=count)
                else:
                    pipe.xrevrange(journal_key(kind), count=count)
            answers = dict(zip(KINDS, cast(list[list[Any]], pipe.execute()), strict=True))
        found: list[tuple[StreamId, Entry]] = []
        reached = dict(position)
        for kind, rows in answers.items():
            ids = [StreamId.parse(at) for at, _ in rows]
            if ids:
                reached[kind] = max(ids)
            entries = (entry_in(row) for _, row in rows)
            found += [(at, entry) for at, entry in zip(ids, entries, strict=True) if entry is not None]
        found.sort(key=lambda each: each[0])
        return Read([entry for _, entry in found], reached)

    def last(self, count: int = KEPT) -> Read:
        """Return the latest entries, at most `count` of a kind. Raises LogUnavailable."""
        return self.after({}, count)


def entry_in(row: Mapping[bytes, bytes]) -> Entry | None:
    """Return the entry that a row of a stream holds; None where this release cannot make it out."""
    content = row.get(_ENTRY, b"")
    if len(content) > _MOST_BYTES:
        return None
    try:
        return _DECODER.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None

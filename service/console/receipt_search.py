"""Where an event is: in the label log, in the part of the event log that is not learned yet, or put aside.

Runs in the reader's process. The position is asked for first: what was learned meanwhile is in the label log by then.
An event id is unique within its user; of several events with the same one, the newest in the label log is found.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from contract.blocks import decode_block
from contract.dead_letters import DeadLetter, DeadLetters
from contract.errors import CorruptBlock, LogUnavailable
from contract.event_log import Entry, EventLog, Position, StreamId
from contract.registry import HISTORY_FILE
from service.archive.asked import LabelsAsked
from service.console.refused import Refused
from service.console.served_first import ServedFirst

HOURS = 168
MOST_EVENTS = 200_000  # of the tail
_ENTRIES_AT_ONCE = 200
_TIMEOUT_S = 2.0
_TELLING = 16  # bytes: a shorter id may stand in a broken block by chance
_Found = dict[str, Any]


class LabelLog(Protocol):
    """What is asked of the archive."""

    def labels(self, asked: LabelsAsked) -> _Found:
        """Return rows, and what was searched."""


class ReceiptSearch:
    """Finds events of one home and its log."""

    def __init__(self, home: Path, label_log: Callable[[], LabelLog]) -> None:
        """Look under `home`. `label_log` raises Refused where it cannot be read."""
        self._label_log = label_log
        self._served_first = ServedFirst(home / "registry" / HISTORY_FILE)
        self._log: EventLog | None = None

    def find(self, event_id: str, redis_url: str | None) -> _Found:
        """Return the receipt of an event. Raises Refused 404 or 501, LogUnavailable."""
        if redis_url is None:
            raise LogUnavailable("this service has no event log; set WINNOW_REDIS_URL")
        log = self._log = self._log or EventLog(redis_url, _TIMEOUT_S)
        position = log.published()
        unseen: Refused | None = None
        said = ""
        try:
            found = self._label_log().labels(LabelsAsked(event=event_id, hours=HOURS, limit=1))
            if found["rows"]:
                return self._trained(event_id, found["rows"][0])
            said = f"the label log of the last {HOURS} hours ({found['searched']['rows']} rows were read)"
        except Refused as error:
            unseen = error
        waiting, searched = _in_tail(log, position, event_id)
        if waiting is not None:
            return _receipt(event_id, "accepted", waiting.ms)
        if (letter := _put_aside(log, event_id)) is not None:
            return _receipt(event_id, "dead_letter", _ms_of(letter), dead_letter=letter.reason.value)
        if unseen is not None:
            raise Refused(501, f"it does not wait to be learned, and what is learned cannot be seen here: {unseen}")
        raise Refused(404, f"no such event in {said}, {searched} events that wait to be learned, and the dead letters")

    def _trained(self, event_id: str, row: _Found) -> _Found:
        acknowledged_ms = row["acknowledged_ms"]
        change = self._served_first.of(acknowledged_ms)
        trained = {name: row.get(name) for name in ("checkpoint", "held_out", "capped")}
        served = None if change is None else {"version": change.version, "promoted_ms": change.changed_ms}
        return _receipt(event_id, "served" if served else "trained", acknowledged_ms, trained=trained, served=served)


def _receipt(event_id: str, state: str, accepted_ms: int, **more: object) -> _Found:
    nothing = {"trained": None, "served": None, "dead_letter": None}
    return {"event_id": event_id, "state": state, "accepted_ms": accepted_ms, **nothing, **more}


def _in_tail(log: EventLog, position: Position, event_id: str) -> tuple[StreamId | None, int]:
    """Return where an event waits, if it does, and how many were looked at; MOST_EVENTS of the oldest at most."""
    searched = 0
    after = dict(position)
    while searched < MOST_EVENTS and (entries := log.read_after(after, _ENTRIES_AT_ONCE).entries):
        for entry in entries:
            after[entry.partition] = max(after.get(entry.partition, entry.id), entry.id)
            searched += entry.events
            if _holds(entry, event_id):
                return entry.id, searched
    return None, searched


def _holds(entry: Entry, event_id: str) -> bool:
    if event_id.encode() not in entry.block:  # texts stand in it as they are
        return False
    try:
        return event_id in decode_block(entry.block).event_id
    except CorruptBlock:
        return False


def _put_aside(log: EventLog, event_id: str) -> DeadLetter | None:
    return next((letter for letter in DeadLetters(log).each() if _is_of(letter, event_id)), None)


def _is_of(letter: DeadLetter, event_id: str) -> bool:
    wanted = event_id.encode()
    if wanted not in letter.block:
        return False
    try:
        return event_id in decode_block(letter.block).event_id
    except CorruptBlock:
        return len(wanted) >= _TELLING


def _ms_of(letter: DeadLetter) -> int:
    return StreamId.parse(letter.source.split("/")[1].split("#")[0]).ms

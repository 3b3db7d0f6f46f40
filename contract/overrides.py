"""Overrides: labels that a person put right, each of which entered the log as an explicit event of its own.

    winnow:overrides    a stream, one entry an override, oldest first, the latest 100,000

An entry is written in the transaction that appends its event: there is none of the two without the other. It names the
event, the one it puts right, the label, who did it and why, and no user or item.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from contract.event_log import EventLog, translated

OVERRIDES_KEY = "winnow:overrides"
KEPT = 100_000
_AT_ONCE = 1_000

OverrideLabel = Literal["positive", "negative"]


@dataclass(frozen=True)
class Override:
    """One label that was put right."""

    event_id: str  # of the event that says so
    override_of: str
    label: str  # positive or negative
    why: str
    who: str  # the id of the key
    at_ms: int


class Overrides:
    """The overrides of one log, read as they come."""

    def __init__(self, log: EventLog) -> None:
        """Read nothing yet."""
        self._client = log.client
        self._after = "-"
        self._found: dict[str, Override] = {}  # by the event that was put right; the last one counts

    @translated()
    def by_event(self) -> dict[str, Override]:
        """Return the latest override of each event. Reads what came since the last call."""
        while rows := cast(list[Any], self._client.xrange(OVERRIDES_KEY, min=self._after, count=_AT_ONCE)):
            for override in _read(rows):
                self._found.pop(override.override_of, None)
                self._found[override.override_of] = override
            self._after = f"({rows[-1][0].decode()}"
        return self._found

    @translated()
    def newest(self, count: int) -> list[Override]:
        """Return the latest overrides, newest first."""
        return _read(cast(list[Any], self._client.xrevrange(OVERRIDES_KEY, count=count)))


def override_fields(override: Override) -> dict[Any, Any]:
    """Return the fields of an entry."""
    return asdict(override)


def _read(rows: Sequence[Any]) -> list[Override]:
    found = []
    for _, row in rows:
        told = {name.decode(): value.decode() for name, value in row.items()}
        found.append(
            Override(
                event_id=told.get("event_id", ""),
                override_of=told.get("override_of", ""),
                label=told.get("label", ""),
                why=told.get("why", ""),
                who=told.get("who", ""),
                at_ms=int(told.get("at_ms", "0")),
            )
        )
    return found

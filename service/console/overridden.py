"""Which labels a person put right, beside the rows that the label log has of them. In the reader's process only."""

from dataclasses import asdict
from typing import Any

from contract.errors import LogUnavailable
from contract.event_log import EventLog
from contract.overrides import Overrides

_TIMEOUT_S = 1.0
_MOST_SHOWN = 1_000


class Overridden:
    """The overrides of one log."""

    def __init__(self) -> None:
        """Connect at the first question."""
        self._overrides: Overrides | None = None

    def filled_in(self, found: dict[str, Any], redis_url: str | None) -> dict[str, Any]:
        """Return rows of the label log, each with its override; `overrides_read` says whether the log answered."""
        try:
            by_event = self._of(redis_url).by_event()
        except LogUnavailable:
            return found | {"overrides_read": False}
        for row in found["rows"]:
            override = by_event.get(row["event_id"])
            row["override"] = asdict(override) if override else None
        return found | {"overrides_read": True}

    def newest(self, redis_url: str | None) -> dict[str, Any]:
        """Return the latest overrides, newest first. Raises LogUnavailable."""
        return {"overrides": [asdict(override) for override in self._of(redis_url).newest(_MOST_SHOWN)]}

    def _of(self, redis_url: str | None) -> Overrides:
        if redis_url is None:
            raise LogUnavailable("this service has no event log; set WINNOW_REDIS_URL")
        if self._overrides is None:
            self._overrides = Overrides(EventLog(redis_url, _TIMEOUT_S))
        return self._overrides

"""Log lines of single requests: all of them at level debug, else those that took long or failed.

Requests are counted in metrics, not logged: a line each would cost more than the answer. A line a second at most is
written of what is slow or failed, for under overload all requests are; the next one says how many had none.
"""

import math
import re
import time
from typing import Self

import structlog

from service.settings import ServiceSettings

_EVERY_S = 1.0
_VERSION = re.compile(rb'"model":\{"version":"([^"]{1,32})"')
_HEAD_BYTES = 256
log = structlog.get_logger()


class RequestLines:
    """Writes `request_answered`. The caller asks first whether a request took `from_s` or more, which is cheap."""

    def __init__(self, every: bool = False, slow_s: float = math.inf) -> None:
        """Write of every request, or of those that took `slow_s` or were answered with 5xx."""
        self.from_s = 0.0 if every else slow_s
        self._slow_s = slow_s
        self._due = -math.inf
        self._untold = 0

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Return those that the settings ask for."""
        return cls(settings.log_level == "debug", settings.slow_request_s)

    def write(self, route: str, status: int, seconds: float, request_id: str, answer: bytes = b"") -> None:
        """Write a line, or count that there was none. The version is the one that the answer names."""
        facts: dict[str, object] = {"route": route, "status": status, "seconds": round(seconds, 6)}
        facts["request_id"] = request_id
        if named := _VERSION.search(answer, 0, _HEAD_BYTES):
            facts["version"] = named[1].decode()
        if seconds < self._slow_s and status < 500:
            log.debug("request_answered", **facts)
            return
        now = time.monotonic()
        if now < self._due:
            self._untold += 1
            return
        log.warning("request_answered", **facts, untold=self._untold)
        self._due, self._untold = now + _EVERY_S, 0

"""How long an acknowledged event waits until this process serves a version that has learned it.

Events are kept as counts of a tenth of a second, by this process's clock; a version has them once it has learned past
the end of that tenth by the log's. So memory is bounded, and what is told is late by a tenth of a second, not early.
"""

from collections import deque

from service.tally import Spread

TENTH_MS = 100
MOST_TENTHS = 36_000  # an hour in which no version comes; from then on the oldest are kept together


class Acknowledged:
    """Events that this process acknowledged and serves no version of yet. Used by the event loop only."""

    def __init__(self, spread: Spread) -> None:
        """Tell `spread` of events once they are served, in seconds."""
        self._spread = spread
        self._waiting: deque[tuple[int, int]] = deque()  # (tenth, events), oldest first

    def note(self, now_ms: int, events: int) -> None:
        """Count events that were acknowledged now."""
        tenth, waiting = now_ms // TENTH_MS, self._waiting
        if waiting and waiting[-1][0] >= tenth:  # a clock that is set back makes no older ones
            waiting[-1] = waiting[-1][0], waiting[-1][1] + events
            return
        waiting.append((tenth, events))
        if len(waiting) > MOST_TENTHS:
            _, oldest = waiting.popleft()
            waiting[0] = waiting[0][0], waiting[0][1] + oldest

    def served(self, through_ms: int, now_ms: int) -> None:
        """Tell of all events that a version has which learned through `through_ms` and is served from now on."""
        waiting = self._waiting
        while waiting and (waiting[0][0] + 1) * TENTH_MS <= through_ms:
            tenth, events = waiting.popleft()
            self._spread.observe_many(max(now_ms - (tenth + 0.5) * TENTH_MS, 0.0) / 1000, events)

    def __len__(self) -> int:
        return len(self._waiting)

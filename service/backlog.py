"""How much work has arrived and not begun, in seconds: what decides whether one more request can be taken (P7).

The event loop reads every connection that has something, then begins what it has read, one after the other. So what is
read and not begun, times what each takes, is how long the next one would wait. Shedding by that, and not by a count,
sheds nothing while requests are cheap, and everyone who is taken is answered while the caller still waits.

Feedback waits once more, for the event log. An append that takes several turns of a busy event loop falls behind what
arrives in those turns, so that queue has a bound of its own, well below the time in which the log must confirm.
"""

_FIRST_GUESS_S = 0.0002
_LEARN = 0.02
_LEARN_APPEND = 0.2
MOST_FIRST_EVENTS = 8_192
_LONGEST_S = 0.05  # a pause of the whole process says nothing of a request


class Backlog:
    """Requests that have arrived and not begun. Used by one event loop."""

    def __init__(self, most_s: float) -> None:
        """Call the backlog long from `most_s` seconds of work on."""
        self._most_s = most_s
        self._waiting = 0
        self._cost_s = _FIRST_GUESS_S
        self._most = most_s / _FIRST_GUESS_S
        self._previous: float | None = None  # when the one before began, if this one waited for it

    @property
    def is_long(self) -> bool:
        """Whether what waits already takes as long as may be waited."""
        return self._waiting >= self._most

    def arrive(self) -> None:
        """Count a request that has arrived; `begin` has to follow."""
        self._waiting += 1

    def begin(self, now: float) -> None:
        """Count a request as begun at `now`, in seconds; learn what one takes from those that waited in a row."""
        self._waiting -= 1
        if self._previous is not None:
            took_s = min(now - self._previous, _LONGEST_S)
            self._cost_s += _LEARN * (took_s - self._cost_s)
            self._most = max(1.0, self._most_s / max(self._cost_s, 1e-6))
        self._previous = now if self._waiting else None


class AppendBacklog:
    """Events that wait for the event log, in seconds until their turn. Used by one event loop."""

    def __init__(self, most_s: float) -> None:
        """Call the backlog long from `most_s` seconds on; what fits into one transaction may always gather."""
        self._most_s = most_s
        self._waiting = 0
        self._most = MOST_FIRST_EVENTS
        self._took_s = self._events = 0.0  # of the latest appends, older ones ever less
        self.is_long = False

    def wait(self, events: int) -> None:
        """Count events that wait."""
        self._waiting += events
        self.is_long = self._waiting >= self._most

    def leave(self, events: int) -> None:
        """Count events that wait no longer: their append begins, or nobody waits for it any more."""
        self._waiting -= events
        self.is_long = self._waiting >= self._most

    def took(self, seconds: float, events: int) -> None:
        """Learn how fast events are appended."""
        self._took_s += seconds - _LEARN_APPEND * self._took_s
        self._events += events - _LEARN_APPEND * self._events
        self._most = max(MOST_FIRST_EVENTS, int(self._most_s * self._events / max(self._took_s, 1e-6)))
        self.is_long = self._waiting >= self._most

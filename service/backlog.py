"""How much work has arrived and not begun, in seconds: what decides whether one more request can be taken (P7).

The event loop reads every connection that has something, then begins what it has read, one after the other. So what is
read and not begun, times what each takes, is how long the next one would wait. Shedding by that, and not by a count,
sheds nothing while requests are cheap, and everyone who is taken is answered while the caller still waits.

A queue that a pause of the process has left is no overload: it goes by itself, and refusing it gains nothing. So a
burst may be BURST times as long, until the queue stands: more was refused than taken, or it is long for a second. These
are the good queue and the bad queue of CoDel (Nichols and Jacobson 2012, RFC 8289).

Feedback waits once more, for the event log. An append that takes several turns of a busy event loop falls behind what
arrives in those turns, so that queue has a bound of its own, well below the time in which the log must confirm.
"""

_FIRST_GUESS_S = 0.0002
_LEARN = 0.02
_LEARN_APPEND = 0.2
MOST_FIRST_EVENTS = 8_192
BURST = 3.0
_STANDS = 20.0  # times the bound: a queue that is long again and again for so long stands
_GONE = 5.0  # times the bound: one that has not been long for so long is gone
_LONGEST_S = 0.05  # a pause of the whole process says nothing of a request


class Backlog:
    """Requests that have arrived and not begun. Used by one event loop."""

    def __init__(self, most_s: float) -> None:
        """Call the backlog long from `most_s` seconds of work on, and a burst from BURST times as many."""
        self._most_s = most_s
        self._burst_s = BURST * most_s
        self._stands_s = _STANDS * most_s
        self._gone_s = _GONE * most_s
        self._waiting = 0
        self._cost_s = _FIRST_GUESS_S
        self._previous: float | None = None  # when the one before began, if this one waited for it
        self._taken = self._refused = 0  # in this turn of the loop
        self._was_long = False  # in this turn of the loop
        self._long_since = self._long_until = float("-inf")
        self._stands = False

    @property
    def is_long(self) -> bool:
        """Whether what waits already takes as long as may be waited; one request may always wait."""
        return self._waiting * self._cost_s >= (self._most_s if self._stands else self._burst_s)

    def arrive(self, now: float) -> None:
        """Count a request that has arrived at `now`, in seconds; `begin` has to follow."""
        if not self._waiting and now - self._long_until > self._gone_s:
            self._long_since, self._stands = now, False
        self._waiting += 1
        self._taken += 1
        if self._waiting * self._cost_s >= self._most_s:
            self._was_long = True

    def refuse(self) -> None:
        """Count a request that was refused, by this backlog or another: what is taken beside it is no burst."""
        self._refused += 1

    def begin(self, now: float) -> None:
        """Count a request as begun at `now`, in seconds; learn what one takes from those that waited in a row."""
        self._waiting -= 1
        if self._previous is not None:
            took_s = min(now - self._previous, _LONGEST_S)
            self._cost_s += _LEARN * (took_s - self._cost_s)
        self._previous = now if self._waiting else None
        if not self._waiting:
            self._turn_over(now)

    def _turn_over(self, now: float) -> None:
        """Judge a turn of the loop: nothing waits any more."""
        if self._was_long or self._refused:
            self._long_until = now
            self._stands |= self._refused > self._taken or now - self._long_since >= self._stands_s
        self._taken = self._refused = 0
        self._was_long = False


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

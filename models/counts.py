"""Log-odds from counts: how much likelier than usual something is, given what was seen of a user, item or feature.

Every row of every table keeps decayed counts (half-life HALF_LIFE events): exposures N, the positives P among them, the
sum of watch quantiles Q over V watches, explicit words E and the dislikes D among them, and all appearances A. A slot
(user, item, surface, duration, author, tags) reads its row as a smoothed log likelihood ratio against the global rate
g:

    LLR_s = logit((P_s + k_s g) / (N_s + k_s)) - logit(g)

and likewise for the watch (Q in V) and for dislikes (D in E); an empty row says 0. One number more is how often the
item has appeared: log(1 + A) less its running mean. The strength k_s is small for users, who differ much, and large for
items, who differ less. Several tags add up. What the slots say is weighed by learned coefficients (`models.stack`).
This is naive Bayes with decayed counts, corrected by a discriminative readout.

What a viewer says counts whole for the viewer; for all else as far as `models.trust` says.

Events of a batch are read one after the other, each against the events before it: nothing leaks from an event into its
own features, and nothing depends on how the stream was cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from models.decay import HALF_LIFE as HALF_LIFE
from models.decay import correct, fade
from models.trust import BREADTH_FADE, trust_of, widen

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
SideRows = npt.NDArray[np.int32]
_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = njit(cache=True)

SLOTS = ("user", "item", "surface", "duration", "author", "tag")
USER, ITEM, SURFACE, DURATION, AUTHOR, TAG = range(len(SLOTS))
EXPLICIT, WATCH, DISLIKE = 0, 1, 2
HEADS = 3
IMAGINED_WORDS = 30.0
STRENGTH = np.array([5.0, 100.0, 50.0, 50.0, 100.0, 50.0])  # k of each slot, exposures
WATCH_STRENGTH = np.array([3.0, 5.0, 5.0, 5.0, 5.0, 5.0])
DISLIKE_STRENGTH = np.array([2.0, 10.0, 10.0, 10.0, 10.0, 10.0])
SIDE_SLOT = np.array([SURFACE, DURATION, AUTHOR, TAG, TAG, TAG, TAG])  # of each column of an exposure's side rows

_N, _P, _V, _Q, _E, _D, _A = range(7)
_COLUMNS = 7
MEAN_EVENTS = 10_000.0  # that the running mean of appearances is over
_GLOBAL_NUMERATOR = np.array([0.4, 10.0, 1.0])  # the global rate is smoothed: (P + .4) / (N + 20) and so on
_GLOBAL_DENOMINATOR = np.array([20.0, 20.0, 10.0])


@dataclass(frozen=True)
class CountFeatures:
    """What the counts say of N events before each of them was counted."""

    llr: Floats  # [N, 3, 6] head x slot
    base: Floats  # [N, 3] logit of the global rate of each head
    seen: Floats  # [N] how often the item has appeared, in logs, less the running mean
    trust: Floats  # [N] how much what was said counts for others than the user (`models.trust`); 1 where nothing was


@dataclass(frozen=True)
class Told:
    """What events tell the counts, columns [N]."""

    w: Floats  # what the event is counted as: 1 positive, 0 not
    weight: Floats  # how much of an exposure it counts; 0 leaves it out
    quantile: Floats  # of the watch; nan without one
    said: npt.NDArray[np.bool_]  # whether something explicit was said
    dislike: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]  # False leaves no trace at all


class Counts:
    """Decayed counts of users, items and side features: [rows, 7] float32 each, and when each row was last touched."""

    def __init__(self, users: int, items: int, sides: int) -> None:
        """Make empty tables; untouched rows cost no memory."""
        self.rows = {"users": users, "items": items, "sides": sides}
        self.tables = {space: np.zeros((rows, _COLUMNS), np.float32) for space, rows in self.rows.items()}
        self.last = {space: np.zeros(rows, np.int64) for space, rows in self.rows.items()}
        self.totals = np.zeros(_COLUMNS)
        self.breadth = np.zeros(2)  # what `models.trust.widen` keeps
        self.mean_seen = np.zeros(1)  # of log(1 + A) of items as they come
        self.tick = 0

    @property
    def positive_rate(self) -> float:
        """The smoothed share of positives among recent exposures, as the target counts them."""
        return float(_rates(self.totals)[EXPLICIT])

    @property
    def negative_share(self) -> float:
        """The share of dislikes among recent explicit words, pulled to 0 by a few imagined ones that are none."""
        return float(self.totals[_D] / (self.totals[_E] + IMAGINED_WORDS))

    def read_and_count(self, user: Rows, item: Rows, side: SideRows, told: Told) -> CountFeatures:
        """Return the features of N events, each read before it is counted. Shapes [N], [N], [N, 7]."""
        return self._run(user, item, side, told, counting=True)

    def read(self, user: Rows, item: Rows, side: SideRows) -> CountFeatures:
        """Return the features of N pairs as the counts are now. Shapes [N], [N], [N, 7]."""
        nothing, no = np.zeros(len(user)), np.zeros(len(user), np.bool_)
        return self._run(user, item, side, Told(nothing, nothing, nothing, no, no, no), counting=False)

    def correct(self, user: Rows, item: Rows, side: SideRows, weight: Floats, positive: Floats, later: Rows) -> None:
        """Add to the exposures and positives of N events that were counted before more was known. Shapes [N].

        `later` is how many events have been counted since, the event itself included: what is added fades as long.
        """
        correct(
            user, item, side, weight, positive, self.tick - later, self.tick,
            *self.tables.values(), *self.last.values(), self.totals,
        )  # fmt: skip

    def start_rows(self, space: str, rows: Rows) -> None:
        """Forget what was counted of rows that have a new owner."""
        self.tables[space][rows] = 0.0

    def row_llr(self, space: str, rows: Rows | slice, slot: int) -> Floats:
        """Return what a slot would read in rows of a table now. Shape [R, 3]; for publishing."""
        faded = self.tables[space][rows] * np.exp2((self.last[space][rows] - self.tick) / HALF_LIFE)[:, None]
        return np.asarray(_row_llr(faded.astype(np.float64), _rates(self.totals), slot), np.float64)

    def item_seen(self, rows: Rows | slice) -> Floats:
        """Return what `seen` would be in rows of items now. Shape [R]; for publishing."""
        faded = self.tables["items"][rows, _A] * np.exp2((self.last["items"][rows] - self.tick) / HALF_LIFE)
        return np.asarray(np.log1p(faded) - self.mean_seen[0], np.float64)

    def base(self) -> Floats:
        """Return the logits of the global rates. Shape [3]."""
        rate = _rates(self.totals)
        return np.asarray(np.log(rate) - np.log1p(-rate))

    def _run(self, user: Rows, item: Rows, side: SideRows, told: Told, counting: bool) -> CountFeatures:
        count = len(user)
        llr, base, seen = np.empty((count, HEADS, len(SLOTS))), np.empty((count, HEADS)), np.empty(count)
        trust = np.ones(count)
        self.tick = _read_and_count(
            user, item, side, told.w, told.weight, told.quantile, told.said, told.dislike, told.counted, counting,
            self.tables["users"], self.tables["items"], self.tables["sides"],
            self.last["users"], self.last["items"], self.last["sides"],
            self.totals, self.breadth, self.mean_seen, self.tick, llr, base, seen, trust,
        )  # fmt: skip
        return CountFeatures(llr, base, seen, trust)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that `restore` needs; whoever knows how many rows are in use may cut the tables."""
        tables = {f"{space}.counts": table for space, table in self.tables.items()}
        last = {f"{space}.last": last for space, last in self.last.items()}
        sums = {"totals": self.totals, "breadth": self.breadth, "mean_seen": self.mean_seen}
        return {**tables, **last, **sums, "tick": np.array([self.tick])}

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state, whose tables may be shorter than these."""
        for space in self.rows:
            for name, whole in ((f"{space}.counts", self.tables[space]), (f"{space}.last", self.last[space])):
                whole[: len(state[name])] = state[name]
        self.totals = np.array(state["totals"], np.float64)
        self.breadth = np.array(state.get("breadth", np.zeros(2)), np.float64)  # older checkpoints have none
        self.mean_seen = np.array(state["mean_seen"], np.float64)
        self.tick = int(state["tick"][0])


@_compiled
def _rates(totals: Floats) -> Floats:
    """Return the global rate of each head. Shape [6] -> [3]."""
    rates = np.empty(3)
    for head in range(3):
        counted = max(totals[2 * head], 0.0)  # a correction may take away a rounding error more than there is
        hits = min(max(totals[2 * head + 1], 0.0), counted)
        rates[head] = (hits + _GLOBAL_NUMERATOR[head]) / (counted + _GLOBAL_DENOMINATOR[head])
    return rates


@_compiled
def _llr(counted: float, hits: float, strength: float, rate: float, base: float) -> float:
    if counted <= 0.0:
        return 0.0
    hits = min(max(hits, 0.0), counted)
    return float(np.log((hits + strength * rate) / (counted - hits + strength * (1.0 - rate))) - base)


@_compiled
def _row_llr(counts: Floats, rates: Floats, slot: int) -> Floats:
    found = np.empty((len(counts), 3))
    for head in range(3):
        strength = (STRENGTH, WATCH_STRENGTH, DISLIKE_STRENGTH)[head][slot]
        base = np.log(rates[head] / (1.0 - rates[head]))
        for row in range(len(counts)):
            found[row, head] = _llr(counts[row, 2 * head], counts[row, 2 * head + 1], strength, rates[head], base)
    return found


@_compiled
def _read_row(counts, last, row, tick, writes, slot, rates, bases, llr):  # type: ignore[no-untyped-def]
    """Fade a row to now, and add what it says to llr [3, 6] in the place of its slot."""
    faded = fade(last[row], tick)
    if writes:
        for column in range(_COLUMNS):
            counts[row, column] *= faded
        last[row] = tick
        faded = 1.0
    strengths = (STRENGTH[slot], WATCH_STRENGTH[slot], DISLIKE_STRENGTH[slot])
    for head in range(3):
        if counts[row, 2 * head] > 0.0:
            llr[head, slot] += _llr(
                counts[row, 2 * head] * faded,
                counts[row, 2 * head + 1] * faded,
                strengths[head],
                rates[head],
                bases[head],
            )


@_compiled
def _count_row(counts, row, w, weight, quantile, said, dislike, trust):  # type: ignore[no-untyped-def]
    counts[row, _A] += 1.0
    counts[row, _N] += weight * trust
    counts[row, _P] += weight * w * trust
    if quantile == quantile:
        counts[row, _V] += 1.0
        counts[row, _Q] += quantile
    if said:
        counts[row, _E] += trust
        counts[row, _D] += dislike * trust


@_compiled
def _read_and_count(  # type: ignore[no-untyped-def]
    user, item, side, w, weight, quantile, said, dislike, counted, counting,
    users, items, sides, users_last, items_last, sides_last, totals, breadth, mean_seen, tick, llr, base, seen, trust,
):  # fmt: skip
    llr[:] = 0.0
    one_on = np.exp2(-1.0 / HALF_LIFE)
    bases = np.empty(3)
    for n in range(len(user)):
        writes = counting and counted[n]
        rates = _rates(totals)
        for head in range(3):
            bases[head] = np.log(rates[head] / (1.0 - rates[head]))
            base[n, head] = bases[head]
        if user[n]:
            _read_row(users, users_last, user[n], tick, writes, USER, rates, bases, llr[n])
        if item[n]:
            _read_row(items, items_last, item[n], tick, writes, ITEM, rates, bases, llr[n])
        for slot in range(side.shape[1]):
            if side[n, slot]:
                _read_row(sides, sides_last, side[n, slot], tick, writes, SIDE_SLOT[slot], rates, bases, llr[n])
        appeared = np.log1p(items[item[n], _A] * fade(items_last[item[n]], tick)) if item[n] else 0.0
        seen[n] = appeared - mean_seen[0]
        if not writes:
            continue
        breadth *= BREADTH_FADE
        if user[n]:
            spoken, disliked, shown = users[user[n], _E], users[user[n], _D], users[user[n], _A]
            widen(breadth, spoken, disliked, totals[_D] / (totals[_E] + IMAGINED_WORDS))
            if said[n]:
                trust[n] = trust_of(spoken, shown, totals[_E], totals[_A])
        tick += 1
        mean_seen[0] += (appeared - mean_seen[0]) / min(float(tick), MEAN_EVENTS)
        for column in range(_COLUMNS):
            totals[column] *= one_on
        q = quantile[n]
        totals[_A] += 1.0
        totals[_N] += weight[n] * trust[n]
        totals[_P] += weight[n] * w[n] * trust[n]
        if q == q:
            totals[_V] += 1.0
            totals[_Q] += q
        if said[n]:
            totals[_E] += trust[n]
            totals[_D] += dislike[n] * trust[n]
        if user[n]:
            _count_row(users, user[n], w[n], weight[n], q, said[n], dislike[n], 1.0)
        if item[n]:
            _count_row(items, item[n], w[n], weight[n], q, said[n], dislike[n], trust[n])
        for slot in range(side.shape[1]):
            if side[n, slot]:
                _count_row(sides, side[n, slot], w[n], weight[n], q, said[n], dislike[n], trust[n])
    return tick

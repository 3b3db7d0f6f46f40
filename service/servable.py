"""One version, loaded: what a request asks.

A `Servable` never changes, so a request that holds one sees exactly one version (P6). `service.proof` opens them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from contract.belief import Floats, relevance, sigmoid
from contract.events import Events
from contract.hashing import Keys
from contract.histories import merged
from contract.manifest import Calibration
from contract.side import ITEM_SLOTS, SIDE_SLOTS, SURFACE, side_rows, surface_row
from contract.space import EXPLICIT, RowNumbers
from contract.tables import Tables, Terms, watch_logit
from contract.watch import Evidence, WatchTables, duration_buckets
from service.graph import Graph, Outputs

NO_KEYS = np.zeros(0, np.uint64)
Flags = npt.NDArray[np.bool_]


def age_s(through_ms: int) -> float:
    """Return the seconds since a version's training data ends; 0 where the clock has been set back behind that."""
    return max(0.0, time.time() - through_ms / 1000)


class Told(NamedTuple):
    """What a caller tells of a candidate; it counts where the model has no row for it."""

    author_id: str  # "" if it is not told
    tags: str  # joined by U+001F
    duration_ms: int  # 0 if it is not told


NOTHING_TOLD: Mapping[int, Told] = {}


@dataclass(frozen=True)
class Answer:
    """What a servable says of one user's candidates, in the order asked. Arrays of length N."""

    score: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    label: Flags
    known: Flags
    known_user: bool
    logit: npt.NDArray[np.float32]
    terms: Terms | None  # None where there is no model behind it

    def parts(self) -> npt.NDArray[np.float32] | None:
        """Return base, user, item, match and context, which sum to the logit. Shape [N, 5]; None without terms."""
        if self.terms is None:
            return None
        base, user, item, context = (np.broadcast_to(part[:, EXPLICIT], self.logit.shape) for part in self.terms)
        return np.stack([base, user, item, self.logit - base - user - item - context, context], 1)


@dataclass(frozen=True)
class Beliefs:
    """What a servable makes of N ended views, whatever was said about them. Arrays of length N."""

    relevance: Floats
    alone: Floats  # score of viewer and item, before the watch
    evidence: Evidence
    on_record: Flags  # whether there are views of like length to compare the watch with
    known_user: Flags
    known_item: Flags
    threshold: float  # relevance above it makes a positive label


class Servable(Protocol):
    """A loaded version, or the built-in prior."""

    @property
    def version(self) -> str:
        """The registry's name for it."""

    @property
    def trained_through_ms(self) -> int | None:
        """Server time below which every acknowledged event was learned."""

    @property
    def fallback(self) -> bool:
        """Whether this is the built-in prior."""

    @property
    def history(self) -> int:
        """How many of a user's latest positives it reads; 0 if none."""

    def answer(
        self,
        user_key: int,
        item_keys: Keys,
        surface: str | None = None,
        told: Mapping[int, Told] = NOTHING_TOLD,
        newer: Keys = NO_KEYS,
    ) -> Answer:
        """Score one user's candidates.

        `told` is by place among the candidates; `newer` are keys of items liked since the version, oldest first.
        """

    def believe(self, events: Events) -> Beliefs:
        """Judge views that have ended, by viewer and item as they were before, and by the watch."""


@dataclass(frozen=True)
class Whole:
    """What a whole version shares with the deltas that stand on it."""

    manifest_sha256: str
    tables: Tables


@dataclass(frozen=True)
class LoadedVersion:
    """A version of the registry, its tables and indexes mapped from its directory, and that of its base."""

    version: str
    trained_through_ms: int
    whole: Whole
    _tables: Tables
    _graph: Graph
    _calibration: Calibration
    _coefficients: Floats  # [5]
    _watches: WatchTables
    fallback: bool = False

    @property
    def history(self) -> int:
        """How many of a user's latest positives it reads; 0 if none."""
        histories = self._tables.histories
        return 0 if histories is None else histories.shape[1]

    def answer(
        self,
        user_key: int,
        item_keys: Keys,
        surface: str | None = None,
        told: Mapping[int, Told] = NOTHING_TOLD,
        newer: Keys = NO_KEYS,
    ) -> Answer:
        """Score one user's candidates in one run of the graph, in the calling thread."""
        tables = self._tables
        user, item = tables.users.find_one(user_key), tables.items.find(item_keys)
        known = item != tables.items.unknown
        outputs, terms = self._score(user, item, known, surface, told, newer)
        return Answer(
            score=outputs.score,
            confidence=outputs.confidence,
            label=outputs.label,
            known=known,
            known_user=user != tables.users.unknown,
            logit=outputs.logit,
            terms=terms,
        )

    def _score(
        self, user: int, item: RowNumbers, known: Flags, surface: str | None, told: Mapping[int, Told], newer: Keys
    ) -> tuple[Outputs, Terms]:
        """Run the graph for one user's items, given by row."""
        tables = self._tables
        shown = 0 if surface is None else surface_row(surface, len(tables.sides.terms))
        unknown = [place for place in told if not known[place]] if told else []
        history = self._history_of(user, newer)
        if unknown:  # of a known item nothing need be told: it has its features in its own row
            side = np.zeros((len(item), SIDE_SLOTS), np.int32)
            side[:, SURFACE] = shown
            side[unknown, ITEM_SLOTS] = _features([told[place] for place in unknown], len(tables.sides.terms))
            terms, feed = tables.of_pairs(np.array([user]), item, side, history)
        else:
            terms, feed = tables.of_one_user(user, item, shown, history)
        return self._graph.run(feed), terms

    def believe(self, events: Events) -> Beliefs:
        """Judge ended views: one run of the graph, or with histories one a user, in the calling thread."""
        tables = self._tables
        user, item = tables.users.find(events.user_key), tables.items.find(events.item_key)
        known_user, known_item = user != tables.users.unknown, item != tables.items.unknown
        table_rows = len(tables.sides.terms)
        side = side_rows(events.surface, events.author_id, events.tags, events.duration_ms, table_rows)
        side[known_item, ITEM_SLOTS] = 0  # a known item has its features in its own row
        logit, watch = self._logits(user, item, side)
        evidence = self._watches.read(events.watch_ms, events.duration_ms, events.foreground, events.surface)
        return Beliefs(
            relevance=relevance(self._coefficients, logit, watch, evidence.llr),
            alone=sigmoid(self._calibration.scale * logit + self._calibration.offset),
            evidence=evidence,
            on_record=self._watches.histogram.sum(1)[duration_buckets(events.duration_ms)] > 0,
            known_user=known_user,
            known_item=known_item,
            threshold=self._calibration.threshold,
        )

    def _logits(self, user: RowNumbers, item: RowNumbers, side: RowNumbers) -> tuple[Floats, Floats]:
        """Return logit and watch of N pairs of any users. Shapes [N], [N], [N, 7] -> [N], [N]."""
        found = np.zeros((2, len(item)))
        groups = [slice(None)] if self._tables.histories is None else [user == row for row in np.unique(user)]
        for own in groups:
            history = self._history_of(int(user[own][0]), NO_KEYS)
            terms, feed = self._tables.of_pairs(user[own], item[own], side[own], history)
            found[0, own], found[1, own] = self._graph.run(feed).logit, watch_logit(terms)
        return found[0], found[1]

    def _history_of(self, user: int, newer: Keys) -> RowNumbers | None:
        """Return one user's history, the version's and newer positives after it. Shape [1, L]."""
        histories = self._tables.histories
        if histories is None:
            return None
        history = histories[user]
        return (merged(history, self._tables.items.find(newer)) if newer.size else history)[None]


def _features(told: Sequence[Told], table_rows: int) -> RowNumbers:
    """Return the side features of items by what is told of them. Shape [N, 6]."""
    author_id, tags, duration_ms = zip(*told, strict=True)
    found = side_rows([""] * len(told), author_id, tags, np.array(duration_ms, np.int32), table_rows)
    return found[:, ITEM_SLOTS]

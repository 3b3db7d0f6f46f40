"""One version, loaded: what a request asks.

A `Servable` never changes, so a request that holds one sees exactly one version (P6). `service.proof` opens them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from contract.api import Candidate
from contract.belief import Floats, relevance, sigmoid
from contract.events import TAG_SEPARATOR, Events
from contract.hash_index import HashIndex
from contract.hashing import Keys, id_keys
from contract.histories import merged
from contract.id_table import UNKNOWN_ROW, Rows, rows_of
from contract.manifest import Calibration
from contract.side import ITEM_SLOTS, SIDE_SLOTS, SURFACE, side_rows, surface_row
from contract.watch import Evidence, WatchTables, duration_buckets
from service.graph import PARTS_OUTPUT, Graph

NO_KEYS = np.zeros(0, np.uint64)
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """What a servable says of one user's candidates, in the order asked. Arrays of length N."""

    item_ids: Sequence[str]
    score: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    known: Flags
    known_user: bool
    parts: npt.NDArray[np.float32] | None
    """[N, 5]: base, user, item, match, context; None if not asked for, or not in the graph."""


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
        user_id: str,
        candidates: Sequence[Candidate | str],
        surface: str | None = None,
        explain: bool = False,
        newer: Keys = NO_KEYS,
    ) -> Answer:
        """Score one user's candidates; `newer` are keys of items liked since the version, oldest first."""

    def believe(self, events: Events) -> Beliefs:
        """Judge views that have ended, by viewer and item as they were before, and by the watch."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version of the registry, its tables and indexes mapped from its directory."""

    version: str
    trained_through_ms: int
    _graph: Graph
    _users: HashIndex
    _items: HashIndex
    _side_rows: int
    _histories: npt.NDArray[np.int32] | None  # [rows of users, L]
    _calibration: Calibration
    _coefficients: Floats  # [5]
    _watches: WatchTables
    fallback: bool = False

    @property
    def history(self) -> int:
        """How many of a user's latest positives it reads; 0 if none."""
        return 0 if self._histories is None else self._histories.shape[1]

    def answer(
        self,
        user_id: str,
        candidates: Sequence[Candidate | str],
        surface: str | None = None,
        explain: bool = False,
        newer: Keys = NO_KEYS,
    ) -> Answer:
        """Score one user's candidates in one run of the graph, in the calling thread."""
        item_ids = item_ids_of(candidates)
        user, item = rows_of(self._users, id_keys([user_id])), rows_of(self._items, id_keys(item_ids))
        side = np.zeros((len(item), SIDE_SLOTS), np.int64)
        if surface is not None:
            side[:, SURFACE] = surface_row(surface, self._side_rows)
        if item_ids is not candidates:
            _tell_unknown_items(side, item, candidates, self._side_rows)
        outputs = ["score", "confidence", "label"] + ([PARTS_OUTPUT] if explain and self._graph.explains else [])
        history = self._history_of(int(user[0]), newer)
        score, confidence, label, *parts = self._graph.run(outputs, user, item, side, history)
        return Answer(
            item_ids=item_ids,
            score=score,
            confidence=confidence,
            label=label.astype(np.int64, copy=False),
            known=item != UNKNOWN_ROW,
            known_user=bool(user[0] != UNKNOWN_ROW),
            parts=parts[0] if parts else None,
        )

    def believe(self, events: Events) -> Beliefs:
        """Judge ended views: one run of the graph, or with histories one a user, in the calling thread."""
        user, item = rows_of(self._users, events.user_key), rows_of(self._items, events.item_key)
        side = side_rows(events.surface, events.author_id, events.tags, events.duration_ms, self._side_rows)
        side[item != UNKNOWN_ROW, ITEM_SLOTS] = 0  # a known item has its features in its own row
        logit, watch_logit = self._logits(user, item, side)
        evidence = self._watches.read(events.watch_ms, events.duration_ms, events.foreground, events.surface)
        return Beliefs(
            relevance=relevance(self._coefficients, logit, watch_logit, evidence.llr),
            alone=sigmoid(self._calibration.scale * logit + self._calibration.offset),
            evidence=evidence,
            on_record=self._watches.histogram.sum(1)[duration_buckets(events.duration_ms)] > 0,
            known_user=user != UNKNOWN_ROW,
            known_item=item != UNKNOWN_ROW,
            threshold=self._calibration.threshold,
        )

    def _logits(self, user: Rows, item: Rows, side: Rows) -> tuple[Floats, Floats]:
        """Return logit and watch of N pairs of any users. Shapes [N], [N], [N, 7] -> [N], [N]."""
        outputs = ["logit", "watch"]
        found = np.zeros((2, len(item)))
        if self._histories is None:
            found[:] = self._graph.run(outputs, user, item, side)
        else:
            for row in np.unique(user):
                own = user == row
                history = self._history_of(int(row), NO_KEYS)
                found[:, own] = self._graph.run(outputs, np.array([row]), item[own], side[own], history)
        return found[0], found[1]

    def _history_of(self, user: int, newer: Keys) -> Rows | None:
        """Return one user's history, the version's and newer positives after it. Shape [1, L]."""
        if self._histories is None:
            return None
        history = self._histories[user]
        return (merged(history, rows_of(self._items, newer)) if newer.size else history)[None]


def item_ids_of(candidates: Sequence[Candidate | str]) -> Sequence[str]:
    """Return the item of each candidate; the same object where all of them are plain ids."""
    if set(map(type, candidates)) == {str}:
        return cast(Sequence[str], candidates)
    return [one.item_id if isinstance(one, Candidate) else one for one in candidates]


def _tell_unknown_items(
    side: npt.NDArray[np.int64], item: Rows, candidates: Sequence[Candidate | str], table_rows: int
) -> None:
    """Fill in what is told of unknown items; a known one has it in its own row. Shapes [N, 7], [N], [N]."""
    unknown = np.flatnonzero(item == UNKNOWN_ROW).tolist()
    told = {place: one for place in unknown if isinstance(one := candidates[place], Candidate)}
    if told:
        features = side_rows(
            [""] * len(told),
            [one.author_id or "" for one in told.values()],
            [TAG_SEPARATOR.join(one.tags) for one in told.values()],
            np.array([one.duration_ms or 0 for one in told.values()], np.int32),
            table_rows,
        )
        side[list(told), ITEM_SLOTS] = features[:, ITEM_SLOTS]

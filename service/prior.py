"""The built-in prior model: what answers before the first version, flagged as a fallback (P5)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contract.events import Events
from contract.hashing import Keys
from contract.watch import CELLS, DURATION_BUCKETS, SURFACE_CELLS, WATCH_BINS, WatchTables
from service.servable import NO_KEYS, NOTHING_TOLD, Answer, Beliefs, Told

_THRESHOLD = 0.5
_NOTHING_SEEN = WatchTables(np.zeros((DURATION_BUCKETS, WATCH_BINS)), np.zeros(CELLS), np.zeros(SURFACE_CELLS))


@dataclass(frozen=True)
class PriorModel:
    """Gives every item the same probability, and knows nobody."""

    rate: float
    version: str = "prior"
    trained_through_ms: int | None = None
    fallback: bool = True
    history: int = 0

    def answer(
        self,
        user_key: int,
        item_keys: Keys,
        surface: str | None = None,
        told: Mapping[int, Told] = NOTHING_TOLD,
        newer: Keys = NO_KEYS,
    ) -> Answer:
        """Score every candidate with the prior rate, so that the caller's order stays."""
        count = len(item_keys)
        return Answer(
            score=np.full(count, self.rate, np.float32),
            confidence=np.full(count, max(self.rate, 1 - self.rate), np.float32),
            label=np.full(count, self.rate > _THRESHOLD, np.bool_),
            known=np.zeros(count, np.bool_),
            known_user=False,
            logit=np.full(count, math.log(self.rate / (1 - self.rate)), np.float32),
            terms=None,
        )

    def believe(self, events: Events) -> Beliefs:
        """Give every view the prior rate: nothing is on record to read a watch against."""
        nobody = np.zeros(len(events), np.bool_)
        rate = np.full(len(events), self.rate)
        return Beliefs(
            relevance=rate,
            alone=rate,
            evidence=_NOTHING_SEEN.read(events.watch_ms, events.duration_ms, events.foreground, events.surface),
            on_record=nobody,
            known_user=nobody,
            known_item=nobody,
            threshold=_THRESHOLD,
        )

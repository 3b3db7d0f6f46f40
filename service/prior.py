"""The built-in prior model: what answers before the first version, flagged as a fallback (P5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.servable import Answer


@dataclass(frozen=True)
class PriorModel:
    """Gives every item the same probability, and knows nobody."""

    rate: float
    version: str = "prior"
    trained_through_ms: int | None = None
    fallback: bool = True

    def answer(self, user_id: str, item_ids: Sequence[str], explain: bool) -> Answer:
        """Score every candidate with the prior rate, so that the caller's order stays."""
        count = len(item_ids)
        return Answer(
            score=np.full(count, self.rate, np.float32),
            confidence=np.full(count, max(self.rate, 1 - self.rate), np.float32),
            label=np.full(count, self.rate > 0.5, np.int64),
            known=np.zeros(count, np.bool_),
            known_user=False,
            parts=None,
        )

"""One user's candidates to an answer, for every route that scores: what was liked since, the servable, the counting."""

from collections.abc import Mapping

import numpy as np

from contract.hashing import Keys, id_key
from service.metrics import Metrics
from service.recent import RecentPositives
from service.servable import NO_KEYS, NOTHING_TOLD, Answer, Servable, Told


class Scorer:
    """Asks servables, and counts what was asked."""

    def __init__(self, recent: RecentPositives, metrics: Metrics) -> None:
        """Continue histories by `recent`."""
        self._recent = recent
        self._metrics = metrics

    def answer(
        self,
        servable: Servable,
        user_id: str,
        item_keys: Keys,
        surface: str | None = None,
        told: Mapping[int, Told] = NOTHING_TOLD,
    ) -> Answer:
        """Return what `servable` says of one user's candidates, in the order asked."""
        user_key = id_key(user_id)
        newer = self._recent.since(user_key, servable.trained_through_ms) if servable.history else NO_KEYS
        answer = servable.answer(user_key, item_keys, surface, told, newer)
        self._metrics.candidates.inc(len(item_keys))
        self._metrics.unknown_items.inc(len(item_keys) - int(np.count_nonzero(answer.known)))
        self._metrics.unknown_users.inc(not answer.known_user)
        self._metrics.fallback.inc(servable.fallback)
        return answer

"""One user's candidates to an answer, for every route that scores: ids as they are stored, what was liked since, the
servable, the counting.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from contract.hashing import id_key, utf8_keys
from contract.pseudonyms import Pseudonyms
from service.metrics import Metrics
from service.recent import RecentPositives
from service.servable import NO_KEYS, NOTHING_TOLD, Answer, Servable, Told

if TYPE_CHECKING:
    from contract.open_telemetry import Span


class Scorer:
    """Asks servables, and counts what was asked."""

    def __init__(self, recent: RecentPositives, pseudonyms: Pseudonyms, metrics: Metrics) -> None:
        """Continue histories by `recent`; `pseudonyms` is how ids are stored, and so how they are known."""
        self._recent = recent
        self._pseudonyms = pseudonyms
        self._metrics = metrics

    def answer(
        self,
        servable: Servable,
        user_id: str,
        item_ids: Sequence[bytes],
        surface: str | None = None,
        told: Mapping[int, Told] = NOTHING_TOLD,
        span: "Span | None" = None,
    ) -> Answer:
        """Return what `servable` says of one user's candidates, in the order asked. Ids as sent, of items in UTF-8.

        `span` is the request's, if it is traced.
        """
        ids = self._pseudonyms
        user_key, item_keys = id_key(ids.user(user_id)), utf8_keys(ids.items(item_ids))
        if told and ids.hides_people:
            told = {place: one._replace(author_id=ids.author(one.author_id)) for place, one in told.items()}
        newer = self._recent.since(user_key, servable.trained_through_ms) if servable.history else NO_KEYS
        if span is None:
            answer = servable.answer(user_key, item_keys, surface, told, newer)
        else:
            with span.child("servable", {"winnow.version": servable.version}) as inner:
                answer = servable.answer(user_key, item_keys, surface, told, newer)
                inner.note(_facts_of(answer, servable))
        self._metrics.candidates.inc(len(item_keys))
        self._metrics.unknown_items.inc(len(item_keys) - int(np.count_nonzero(answer.known)))
        self._metrics.unknown_users.inc(not answer.known_user)
        self._metrics.fallback.inc(servable.fallback)
        return answer


def _facts_of(answer: Answer, servable: Servable) -> dict[str, float | bool]:
    """Return what a span says of an answer."""
    return {
        "winnow.candidates": len(answer.score),
        "winnow.known_share": float(answer.known.mean()),
        "winnow.known_user": answer.known_user,
        "winnow.fallback": servable.fallback,
    }

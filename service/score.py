"""POST /score and /score:batch: candidates in, ranked scores and pseudo-labels out.

They wait for nothing: no Redis, no disk, no other thread. A worker-thread hop per request cost more than the scoring.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter

from contract.api import Reasons, ScoreBatchResponse, ScoreResponse
from service.exposures import Exposures
from service.front import Asked, hot_router
from service.openapi import body_of, problems
from service.rows_json import rounded, rows_json
from service.scorer import Scorer
from service.servable import Answer, Servable, age_s
from service.settings import ServiceSettings
from service.slot import Slot
from service.wanted import Wanted, batch_of, wanted_of

if TYPE_CHECKING:
    from contract.open_telemetry import Span

_PARTS = list(Reasons.model_fields)
_EXAMPLE = {"user_id": "u1", "candidates": ["v1", {"item_id": "v2", "author_id": "a7", "tags": ["39"]}], "top_k": 50}
_BEST = int(np.float32(1).view(np.uint32))
_PLACE = (1 << 32) - 1
_ERRORS = (400, 408, 413, 415, 422, 503)


def score_routes(slot: Slot, scorer: Scorer, exposures: Exposures, settings: ServiceSettings) -> APIRouter:
    """Return the routes that score."""
    router = hot_router("score")

    def answer_to(wanted: Wanted, servable: Servable, span: "Span | None") -> bytes:
        answer = scorer.answer(servable, wanted.user_id, wanted.item_ids, wanted.surface, wanted.told, span)
        order = ranking(answer.score)[: wanted.top_k]
        if not wanted.impressions:
            return render(wanted, answer, order)
        shown = [wanted.item_ids[place] for place in order.tolist()]
        return render(wanted, answer, order, exposures.sign(wanted.user_id, shown, servable.version))

    @router.post(
        "/v1/score",
        response_model=ScoreResponse,
        responses=problems(*_ERRORS),
        openapi_extra=body_of(_EXAMPLE, "ScoreRequest"),
    )
    @router.post("/score", include_in_schema=False)
    async def score(body: bytes, asked: Asked) -> bytes:
        """Score one user's candidates, best first."""
        wanted = wanted_of(body, settings.max_candidates)
        servable = slot.current  # once: this request sees this version only
        return b"{%b,%b}" % (head(asked.request_id, servable), answer_to(wanted, servable, asked.span))

    @router.post(
        "/v1/score:batch",
        response_model=ScoreBatchResponse,
        responses=problems(*_ERRORS),
        openapi_extra=body_of({"requests": [_EXAMPLE]}, "ScoreBatchRequest"),
    )
    @router.post("/score:batch", include_in_schema=False)
    async def score_batch(body: bytes, asked: Asked) -> bytes:
        """Score the candidates of several users by one version; `max_candidates` bounds them all together."""
        batch = batch_of(body, settings.max_candidates)
        servable = slot.current
        answers = [(orjson.dumps(one.user_id), answer_to(one, servable, asked.span)) for one in batch]
        results = [b'{"user_id":%b,%b}' % answer for answer in answers]
        return b'{%b,"results":[%b]}' % (head(asked.request_id, servable), b",".join(results))

    return router


def head(request_id: str, servable: Servable) -> bytes:
    """Return the fields that every answer begins with."""
    return orjson.dumps({"request_id": request_id, "model": serving_model(servable)})[1:-1]


def render(
    wanted: Wanted, answer: Answer, order: npt.NDArray[np.int64], impressions: Sequence[str] | None = None
) -> bytes:
    """Return one user's fields of the answer, places in `order`, with an impression id each if there are some."""
    parts = answer.parts() if wanted.explain else None
    known_user = b'"known_user":true' if answer.known_user else b'"known_user":false'
    if parts is None and impressions is None and not wanted.columns:
        rows = rows_json(wanted.item_ids, order, answer.score, answer.confidence, answer.label, answer.known)
        return b'%b,"items":%b' % (known_user, rows)
    columns: dict[str, Any] = {
        "item_id": [wanted.item_ids[place].decode() for place in order.tolist()],
        "score": rounded(answer.score.take(order)),
        "label": answer.label.take(order).view(np.uint8),
        "confidence": rounded(answer.confidence.take(order)),
        "known": answer.known.take(order),
    }
    if parts is not None:
        columns["reasons"] = [dict(zip(_PARTS, row, strict=True)) for row in parts[order]]
    if impressions is not None:
        columns["impression_id"] = impressions
    if wanted.columns:
        return b'%b,"columns":%b' % (known_user, _json(columns))
    rows_of = zip(*columns.values(), strict=True)
    return b'%b,"items":%b' % (known_user, _json([dict(zip(columns, row, strict=True)) for row in rows_of]))


def ranking(score: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the places of scores from 0 to 1, best first and of equal ones the first first. Shape [N].

    A score and its place make one number, for numbers sort three times as fast as places by a stable sort.
    """
    number = (_BEST - score.view(np.uint32).astype(np.int64) << 32) | np.arange(len(score))
    number.sort()
    return number & _PLACE


def serving_model(servable: Servable) -> dict[str, object]:
    """Say which version answers, as contract.api.ServingModel has it."""
    through_ms = servable.trained_through_ms
    return {
        "version": servable.version,
        "trained_through": None if through_ms is None else rfc3339(through_ms),
        "age_s": None if through_ms is None else round(age_s(through_ms), 3),
        "fallback": servable.fallback,
    }


@lru_cache(maxsize=256)
def rfc3339(epoch_ms: int) -> str:
    """Write a time in UTC, to the millisecond."""
    text = datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)

"""POST /score: candidates in, ranked scores and pseudo-labels out.

It waits for nothing: no Redis, no disk, no other thread. A worker-thread hop per request cost more than the scoring.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Request, Response

from contract.api import Reasons, ScoreRequest, ScoreResponse
from contract.hashing import id_key
from service.limits import Limits
from service.metrics import Metrics
from service.openapi import body_of, problems
from service.parsing import check_count, parse_json, validate
from service.recent import RecentPositives
from service.servable import NO_KEYS, Answer, Servable
from service.settings import ServiceSettings
from service.slot import Slot

_PARTS = list(Reasons.model_fields)
_EXAMPLE = {"user_id": "u1", "candidates": ["v1", {"item_id": "v2", "author_id": "a7", "tags": ["39"]}], "top_k": 50}


def score_routes(
    slot: Slot, recent: RecentPositives, limits: Limits, settings: ServiceSettings, metrics: Metrics
) -> APIRouter:
    """Return the routes that score."""
    router = APIRouter(tags=["score"])

    @router.post(
        "/v1/score",
        response_model=ScoreResponse,
        responses=problems(400, 408, 413, 415, 422, 503),
        openapi_extra=body_of(_EXAMPLE, "ScoreRequest"),
    )
    @router.post("/score", include_in_schema=False)
    async def score(request: Request) -> Response:
        """Score one user's candidates, best first."""
        async with limits.body_of(request) as body:
            asked = parse_request(body, settings.max_candidates)
            servable = slot.current  # once: this request sees this version only
            through_ms = servable.trained_through_ms
            newer = recent.since(id_key(asked.user_id), through_ms) if servable.history else NO_KEYS
            answer = servable.answer(asked.user_id, asked.candidates, asked.surface, asked.explain, newer)
            _count(metrics, servable, answer)
            return Response(render(asked, answer, servable, request.state.request_id), media_type="application/json")

    return router


def parse_request(body: bytes, max_candidates: int) -> ScoreRequest:
    """Return the request in `body`. Raises an error of the 4xx kind."""
    value = parse_json(body)
    if isinstance(value, dict):
        check_count(value.get("candidates"), max_candidates, "candidates", "WINNOW_MAX_CANDIDATES")
    return validate(ScoreRequest, value)


def render(asked: ScoreRequest, answer: Answer, servable: Servable, request_id: str) -> bytes:
    """Return the body of the response, ranked by score; equal scores keep the caller's order."""
    order = np.argsort(-answer.score, kind="stable")[: asked.top_k]
    columns = _columns(answer, order)
    body: dict[str, object] = {
        "request_id": request_id,
        "model": serving_model(servable),
        "known_user": answer.known_user,
    }
    if asked.format == "columns":
        body["columns"] = columns
    else:
        body["items"] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def serving_model(servable: Servable) -> dict[str, object]:
    """Say which version answers, as contract.api.ServingModel has it."""
    through_ms = servable.trained_through_ms
    return {
        "version": servable.version,
        "trained_through": None if through_ms is None else rfc3339(through_ms),
        "age_s": None if through_ms is None else max(0.0, round(time.time() - through_ms / 1000, 3)),
        "fallback": servable.fallback,
    }


def rfc3339(epoch_ms: int) -> str:
    """Write a time in UTC, to the millisecond."""
    text = datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _columns(answer: Answer, order: npt.NDArray[np.intp]) -> dict[str, Sequence[object]]:
    """Return every field of the answer in ranked order. float32 scalars keep their short decimal form in JSON."""
    columns: dict[str, Sequence[object]] = {
        "item_id": [answer.item_ids[place] for place in order.tolist()],
        "score": list(answer.score[order]),
        "label": answer.label[order].tolist(),
        "confidence": list(answer.confidence[order]),
        "known": answer.known[order].tolist(),
    }
    if answer.parts is not None:
        columns["reasons"] = [dict(zip(_PARTS, row, strict=True)) for row in answer.parts[order]]
    return columns


def _count(metrics: Metrics, servable: Servable, answer: Answer) -> None:
    metrics.candidates.inc(len(answer.score))
    metrics.unknown_items.inc(len(answer.score) - int(np.count_nonzero(answer.known)))
    metrics.unknown_users.inc(not answer.known_user)
    metrics.fallback.inc(servable.fallback)

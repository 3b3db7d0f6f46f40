"""Scores in the console: candidates of a user with their reasons, by the version that is served or by any other.

The version that is served answers in this process, as `POST /v1/score` does; any other is opened by the reader. Ids may
be as they were sent or, copied from another answer, as they are stored.
"""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from contract.events import ExternalId
from contract.hashing import id_key, id_keys
from contract.pseudonyms import Pseudonyms
from service.console.asking import as_json, as_stored, body_in
from service.console.model_routes import VERSION
from service.console.reading import Reader
from service.limits import Limits
from service.recent import RecentPositives
from service.score import ranking, render, rfc3339, serving_model
from service.servable import NO_KEYS, NOTHING_TOLD, age_s
from service.slot import Slot
from service.wanted import Wanted

MOST_CANDIDATES = 200
_EXPOSED = 50


class ScoreAsked(BaseModel):
    """Body of the route."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user_id: ExternalId
    candidates: list[ExternalId] | None = Field(default=None, min_length=1, max_length=MOST_CANDIDATES)
    surface: ExternalId | None = None
    version: str | None = Field(default=None, pattern=VERSION)


def console_score_routes(
    slot: Slot, recent: RecentPositives, reader: Reader, pseudonyms: Pseudonyms, limits: Limits
) -> APIRouter:
    """Return the route."""
    router = APIRouter(include_in_schema=False)

    @router.post("/console/api/score")
    async def score(request: Request) -> Response:
        """Score a user's candidates, best first; without candidates those that were exposed most of late."""
        asked = await body_in(request, ScoreAsked, limits)
        items = asked.candidates or await _exposed(reader)
        user_key = id_key(as_stored({"user": asked.user_id}, pseudonyms)["user"])
        item_keys = id_keys([as_stored({"item": item}, pseudonyms)["item"] for item in items])
        about = {"request_id": request.state.request_id}
        if asked.version is not None:
            question = {
                "version": asked.version,
                "user_key": user_key,
                "item_keys": item_keys.tolist(),
                "item_ids": items,
                "surface": asked.surface,
            }
            found = await reader.find("score", question)
            return as_json(orjson.dumps(about | {"model": _model(found)} | found))
        servable = slot.current  # once: this request sees this version only
        newer = recent.since(user_key, servable.trained_through_ms) if servable.history else NO_KEYS
        answer = servable.answer(user_key, item_keys, asked.surface, NOTHING_TOLD, newer)
        ids = [item.encode() for item in items]
        wanted = Wanted("", ids, NOTHING_TOLD, asked.surface, None, columns=False, explain=True, impressions=False)
        rows = b"{%b}" % render(wanted, answer, ranking(answer.score))
        return as_json(_joined(about | {"model": serving_model(servable), "version": servable.version}, rows))

    return router


async def _exposed(reader: Reader) -> list[str]:
    found: dict[str, Any] = await reader.find("ids", {"kind": "item", "hours": 24, "limit": _EXPOSED})
    if not found["ids"]:
        raise HTTPException(404, "no item was exposed in the last 24 hours; name candidates")
    return [each["id"] for each in found["ids"]]


def _model(found: dict[str, Any]) -> dict[str, object]:
    """Say which version the reader asked, as `serving_model` does."""
    through_ms: int = found.pop("trained_through_ms")
    age = round(age_s(through_ms), 3)
    return {"version": found["version"], "trained_through": rfc3339(through_ms), "age_s": age, "fallback": False}


def _joined(about: dict[str, object], rows: bytes) -> bytes:
    return b"%b,%b" % (orjson.dumps(about)[:-1], rows[1:])

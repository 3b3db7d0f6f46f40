"""Labels put right by a person: an explicit event of the same viewer and item, and who did it, in one transaction.

On the admin port only. The event goes the way of all others: the trainer learns it as what the viewer said, within the
bounds of what one viewer may say (`trainer/caps.py`). Nothing of the label log is changed.
"""

import time
import uuid
from typing import Any

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from contract.api_keys import Role
from contract.blocks import encode_partitions, pieces_of
from contract.errors import LogUnavailable
from contract.events import Action, Events, FeedbackEvent
from contract.overrides import Override, OverrideLabel
from service.archive.asked import LabelsAsked
from service.console.asking import body_in
from service.console.reading import Reader
from service.keys import Caller
from service.limits import Limits
from service.log_thread import LogThread
from service.metrics import Metrics
from service.parsing import validate

_HOURS = 168
_ACTIONS: dict[OverrideLabel, Action] = {"positive": Action.LIKE, "negative": Action.DISLIKE}
log = structlog.get_logger()


class OverrideAsked(BaseModel):
    """Body of the route."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: OverrideLabel
    why: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")


class Overridden(BaseModel):
    """Answer: the event that says so, which is on disk."""

    event_id: str
    override_of: str


def override_routes(
    reader: Reader, event_log: LogThread | None, redis_url: str | None, limits: Limits, metrics: Metrics
) -> APIRouter:
    """Return the route."""
    router = APIRouter(include_in_schema=False)

    @router.post("/console/api/labels/{event_id:path}:override", status_code=202)
    async def override(request: Request, event_id: str) -> Overridden:
        """Put a label right."""
        caller: Caller = request.state.caller
        if Role.ADMIN not in caller.roles:
            raise HTTPException(403, "this API key has not the role admin")
        asked = await body_in(request, OverrideAsked, limits)
        if event_log is None:
            raise LogUnavailable("this service has no event log; set WINNOW_REDIS_URL")
        query = validate(LabelsAsked, {"event": event_id, "hours": _HOURS, "limit": 1}, "that is no event id")
        found = await reader.find("labels", {"query": query.model_dump(), "redis_url": redis_url})
        if not found["rows"]:
            raise HTTPException(404, f"the label log of the last {_HOURS} hours has no such event")
        new, done = _decided(found["rows"][0], asked, caller.key_id)
        blocks = encode_partitions([pieces_of(Events.from_models([new]))])
        await event_log.append(blocks, override=done)
        metrics.acknowledged.inc()
        log.info("label_overridden", label=asked.label, by=caller.key_id)
        return Overridden(event_id=done.event_id, override_of=done.override_of)

    return router


def _decided(row: dict[str, Any], asked: OverrideAsked, who: str) -> tuple[FeedbackEvent, Override]:
    """Return the event that says what was decided, and who decided it."""
    now_ms = time.time_ns() // 1_000_000
    new = FeedbackEvent(
        event_id=f"override-{uuid.uuid4().hex}",
        user_id=row["user_id"],
        item_id=row["item_id"],
        at=now_ms,
        actions=[_ACTIONS[asked.label]],
        surface=row["surface"] or None,
    )
    return new, Override(new.event_id, row["event_id"], asked.label, asked.why, who, now_ms)

"""POST /feedback: events in, on disk before they are acknowledged (P1).

A request is taken whole or not at all. Anything but 202 means: retry with the same event ids.
"""

import time

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from contract.api import FeedbackAccepted
from contract.errors import LogError, LogUnavailable
from contract.event_log import AsyncEventLog
from contract.events import Events, FeedbackEvent, encode_block
from contract.hashing import partitions_of
from service.limits import Limits
from service.metrics import Metrics
from service.openapi import body_of, problems
from service.parsing import check_count, parse_json, validate
from service.recent import RecentPositives
from service.settings import ServiceSettings
from service.slot import Slot

NDJSON = "application/x-ndjson"
EXAMPLE: dict[str, object] = {
    "event_id": "0190a5c2-8b1e-7cc3-98c4-dc0c0c07398f",
    "user_id": "u1",
    "item_id": "v2",
    "at": "2026-11-24T08:00:00Z",
    "watch_ms": 4200,
    "duration_ms": 9000,
    "actions": ["like"],
    "surface": "feed",
    "author_id": "a7",
    "tags": ["39"],
    "position": 3,
    "foreground": True,
    "impression_id": "imp-5f0c6c1e",
}


class FeedbackBatch(BaseModel):
    """Several events in one body."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    events: list[FeedbackEvent] = Field(min_length=1, description="The events; stored all, or none.")


def feedback_routes(
    event_log: AsyncEventLog | None,
    slot: Slot,
    recent: RecentPositives,
    limits: Limits,
    settings: ServiceSettings,
    metrics: Metrics,
) -> APIRouter:
    """Return the routes that take feedback. Without a log they answer 503."""
    router = APIRouter(tags=["feedback"])

    @router.post(
        "/v1/feedback",
        status_code=202,
        response_model=FeedbackAccepted,
        responses=problems(400, 408, 413, 415, 422, 503),
        openapi_extra=body_of(EXAMPLE, "FeedbackEvent", "FeedbackBatch", lines_type=NDJSON),
    )
    @router.post("/feedback", status_code=202, include_in_schema=False)
    async def feedback(request: Request) -> Response:
        """Store one event, an array, `{"events": [...]}`, or one event a line as NDJSON."""
        in_lines = is_ndjson(request.headers.get("content-type"))
        async with limits.body_of(request) as body:
            events = Events.from_models(parse_events(body, in_lines, settings.max_batch_events))
            await _store(event_log, events, metrics)
            if length := slot.current.history:
                recent.note(events, time.time_ns() // 1_000_000, length)
        accepted = {"accepted": len(events), "event_ids": events.event_id.tolist()}
        return Response(orjson.dumps(accepted), 202, media_type="application/json")

    return router


def parse_events(body: bytes, in_lines: bool, max_events: int) -> list[FeedbackEvent]:
    """Return the events in `body`, whichever of the four shapes it has. Raises an error of the 4xx kind."""
    if in_lines:
        lines = [line for line in body.splitlines() if line.strip()]
        check_count(lines, max_events, "events", "WINNOW_MAX_BATCH_EVENTS")
        given: object = [parse_json(line, f"line {number}") for number, line in enumerate(lines, 1)]
    else:
        given = parse_json(body)
    if isinstance(given, list):
        given = {"events": given}
    elif isinstance(given, dict) and "events" not in given:
        given = {"events": [given]}
    if isinstance(given, dict):
        check_count(given["events"], max_events, "events", "WINNOW_MAX_BATCH_EVENTS")
    return validate(FeedbackBatch, given).events


def blocks_of(events: Events) -> dict[int, tuple[int, bytes]]:
    """Return {partition: (events, block)}."""
    partition = partitions_of(events.user_key)
    parts = {int(number): events.take(partition == number) for number in np.unique(partition)}
    return {number: (len(part), encode_block(part)) for number, part in parts.items()}


def is_ndjson(content_type: str | None) -> bool:
    """Return whether events come one a line. Raises HTTPException 415 if they come as neither that nor JSON."""
    media_type = (content_type or "application/json").split(";")[0].strip().lower()
    if media_type not in ("application/json", NDJSON):
        raise HTTPException(415, f"events are taken as application/json or {NDJSON}")
    return media_type == NDJSON


async def _store(event_log: AsyncEventLog | None, events: Events, metrics: Metrics) -> None:
    try:
        if event_log is None:
            raise LogUnavailable("this service has no event log; set WINNOW_REDIS_URL")
        await event_log.append(blocks_of(events))
    except LogError:
        metrics.unstored.inc(len(events))
        raise
    metrics.acknowledged.inc(len(events))

"""POST /feedback: events in, on disk before they are acknowledged (P1).

A request is taken whole or not at all. Anything but 202 means: retry with the same event ids.
"""

import time

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from contract.api import FeedbackAccepted
from contract.errors import LogError
from contract.events import EventLists, Events, FeedbackEvent
from contract.pseudonyms import Pseudonyms
from service.backlog import AppendBacklog
from service.exposures import Exposures
from service.fast_events import lines_of, read_fast
from service.front import Asked, hot_router
from service.intake import EventSink, Intake
from service.limits import Headers
from service.metrics import Metrics
from service.openapi import body_of, problems
from service.parsing import check_count, check_fields, parse_json, validate
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


def intake_of(
    event_log: EventSink | None, slot: Slot, recent: RecentPositives, timeout_s: float, backlog: AppendBacklog
) -> Intake:
    """Return where feedback waits for the log. Without a log it refuses."""

    def remember(said: Events) -> None:
        if length := slot.current.history:
            recent.note(said, time.time_ns() // 1_000_000, length)

    return Intake(event_log, timeout_s, remember, backlog)


def feedback_routes(
    intake: Intake, pseudonyms: Pseudonyms, exposures: Exposures, settings: ServiceSettings, metrics: Metrics
) -> APIRouter:
    """Return the routes that take feedback. Without a log they answer 503."""
    router = hot_router("feedback")

    @router.post(
        "/v1/feedback",
        status_code=202,
        response_model=FeedbackAccepted,
        responses=problems(400, 408, 413, 415, 422, 429, 503),
        openapi_extra=body_of(EXAMPLE, "FeedbackEvent", "FeedbackBatch", lines_type=NDJSON),
    )
    @router.post("/feedback", status_code=202, include_in_schema=False)
    async def feedback(body: bytes, asked: Asked) -> bytes:
        """Store one event, an array, `{"events": [...]}`, or one event a line as NDJSON."""
        events = parse_events(body, is_ndjson(asked.headers), settings.max_batch_events)
        asked.caller.count_events(events.user_id)
        stored = pseudonyms.events(events)
        exposures.check(stored)
        try:
            if asked.span is None:
                await intake.store(stored, len(body))
            else:
                with asked.span.producer("append", {"winnow.events": events.number}) as span:
                    await intake.store(stored, len(body), span)
        except LogError:
            metrics.unstored.inc(events.number)
            raise
        metrics.acknowledged.inc(events.number)
        metrics.waiting.note(time.time_ns() // 1_000_000, events.number)
        return orjson.dumps({"accepted": events.number, "event_ids": events.event_id})

    return router


def parse_events(body: bytes, in_lines: bool, max_events: int) -> EventLists:
    """Return the events in `body`, whichever of the four shapes it has. Raises an error of the 4xx kind."""
    return read_fast(body, in_lines, max_events) or EventLists.of_models(read_by_schema(body, in_lines, max_events))


def is_ndjson(headers: Headers) -> bool:
    """Return whether events come one a line. Raises HTTPException 415 if they come as neither that nor JSON."""
    content_type = headers.get(b"content-type") or b"application/json"
    media_type = content_type.split(b";")[0].strip().lower().decode("latin-1")
    if media_type not in ("application/json", NDJSON):
        raise HTTPException(415, f"events are taken as application/json or {NDJSON}")
    return media_type == NDJSON


def read_by_schema(body: bytes, in_lines: bool, max_events: int) -> list[FeedbackEvent]:
    """The way that has the say, and finds the words for what is wrong."""
    if in_lines:
        lines = lines_of(body)
        check_count(lines, max_events, "events", "WINNOW_MAX_BATCH_EVENTS")
        given: object = [parse_json(line, f"line {number}") for number, line in enumerate(lines, 1)]
    else:
        given = parse_json(body)
    if isinstance(given, list):
        given = {"events": given}
    elif isinstance(given, dict) and "events" not in given:
        given = {"events": [given]}
    if isinstance(given, dict):
        check_fields(given)
        check_count(given["events"], max_events, "events", "WINNOW_MAX_BATCH_EVENTS")
        check_fields(given["events"])
    return validate(FeedbackBatch, given).events

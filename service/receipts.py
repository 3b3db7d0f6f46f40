"""GET /v1/feedback/{event_id}: what became of an event: accepted, trained, served, or put aside.

Found by a reader of its own (`service.console.reading`), so that no receipt holds up the event loop, and none waits for
the console. Where the label log cannot be read, only what still waits and what was put aside is found; anything else is
a 501 there, which says so.
"""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from contract.api import Receipt
from contract.events import ExternalId
from service.console.reading import Reader
from service.openapi import problems
from service.parsing import validate


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True)

    event_id: ExternalId


def receipt_routes(reader: Reader, redis_url: str | None) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["feedback"])

    @router.get("/v1/feedback/{event_id:path}", response_model=Receipt, responses=problems(404, 422, 501, 503))
    async def receipt(event_id: str) -> Any:
        """Say what became of an event: accepted, trained in which checkpoint, first served by which version."""
        asked = validate(_Asked, {"event_id": event_id}, "that is no event id")
        return await reader.find("receipt", {"event_id": asked.event_id, "redis_url": redis_url})

    return router

"""Models in the console: the versions with their gates, every change of what is served, and two versions compared."""

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.console.asking import as_json, asked_in
from service.console.reading import Reader
from service.slot import Slot

VERSION = r"^[0-9]{1,12}$"


class Compared(BaseModel):
    """Two versions to compare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    a: str = Field(pattern=VERSION)
    b: str = Field(pattern=VERSION)


def console_model_routes(slot: Slot, reader: Reader) -> APIRouter:
    """Return the routes. They wait for the reader only."""
    router = APIRouter(include_in_schema=False)

    @router.get("/console/api/models")
    async def models() -> Response:
        """Return what is served here, the champion, every version, and the latest changes, newest first."""
        own = orjson.dumps({"serving": slot.current.version, "refused": slot.refused})
        found = await reader.ask("models", {})
        return as_json(b"%b,%b" % (own[:-1], found[1:]))

    @router.get("/console/api/models/compare")
    async def compare(request: Request) -> Response:
        """Say how differently two versions score pairs of the last day."""
        return as_json(await reader.ask("compare", asked_in(request, Compared).model_dump()))

    return router

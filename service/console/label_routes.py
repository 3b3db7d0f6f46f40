"""Labels in the console: rows of the label log, where targets lie, ids to choose from, what was put right, files."""

from typing import Any

from fastapi import APIRouter, Request, Response

from contract.pseudonyms import Pseudonyms
from service.archive.asked import HoursAsked, IdsAsked, LabelsAsked, LabelsExportAsked
from service.console.asking import as_json, as_stored, asked_in
from service.console.downloads import Downloads
from service.console.reading import Reader
from service.parsing import validate


def label_routes(reader: Reader, downloads: Downloads, pseudonyms: Pseudonyms, redis_url: str | None) -> APIRouter:
    """Return the routes. They wait for the reader only."""
    router = APIRouter(include_in_schema=False)

    def stored(asked: LabelsAsked) -> dict[str, Any]:
        return as_stored(asked.model_dump(), pseudonyms)

    @router.get("/console/api/labels")
    async def labels(request: Request) -> Response:
        """Find rows of the label log, each with its reasons."""
        query = stored(asked_in(request, LabelsAsked))
        return as_json(await reader.ask("labels", {"query": query, "redis_url": redis_url}))

    @router.get("/console/api/labels/export")
    async def export(request: Request) -> Response:
        """Return the same rows as a file."""
        asked = asked_in(request, LabelsExportAsked)
        return await downloads.of("export_labels", stored(asked), f"labels.{asked.format}")

    @router.get("/console/api/labels/histogram")
    async def histogram(request: Request) -> Response:
        """Say where the targets of the unlabelled lie."""
        return as_json(await reader.ask("histogram", asked_in(request, HoursAsked).model_dump()))

    @router.get("/console/api/ids")
    async def ids(request: Request) -> Response:
        """List recent users or items, the most active first."""
        return as_json(await reader.ask("ids", asked_in(request, IdsAsked).model_dump()))

    @router.get("/console/api/receipts/{event_id:path}")
    async def receipt(event_id: str) -> Response:
        """Say what became of an event, as GET /v1/feedback/{event_id} does, to whoever may see the console."""
        asked = validate(LabelsAsked, {"event": event_id}, "that is no event id")
        return as_json(await reader.ask("receipt", {"event_id": asked.event, "redis_url": redis_url}))

    @router.get("/console/api/overrides")
    async def overrides() -> Response:
        """List the labels that a person put right, newest first."""
        return as_json(await reader.ask("overrides", {"redis_url": redis_url}))

    return router

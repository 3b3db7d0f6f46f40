"""The audit in the console: where the noise is, who stands out, and the table as a file."""

from fastapi import APIRouter, Request, Response

from service.archive.asked import AuditAsked, AuditExportAsked, SuspectsAsked
from service.console.asking import as_json, asked_in
from service.console.downloads import Downloads
from service.console.reading import Reader


def audit_routes(reader: Reader, downloads: Downloads) -> APIRouter:
    """Return the routes. They wait for the reader only."""
    router = APIRouter(include_in_schema=False)

    @router.get("/console/api/audit")
    async def audit(request: Request) -> Response:
        """Estimate how much of what watches say is noise, by group."""
        return as_json(await reader.ask("audit", asked_in(request, AuditAsked).model_dump()))

    @router.get("/console/api/audit/export")
    async def export(request: Request) -> Response:
        """Return the same as a file."""
        asked = asked_in(request, AuditExportAsked)
        return await downloads.of("export_audit", asked.model_dump(), f"audit.{asked.format}")

    @router.get("/console/api/audit/suspects")
    async def suspects(request: Request) -> Response:
        """Rank users or items whose watches say one thing and whose relevance another."""
        return as_json(await reader.ask("suspects", asked_in(request, SuspectsAsked).model_dump()))

    return router

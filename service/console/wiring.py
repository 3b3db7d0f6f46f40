"""Wiring of the console: what its routes need is made here once a process, and shared by its two ports.

The callers' port shows, the admin port may change things as well. The files of the page are open to everyone; all data
is under `/console/api/`, for keys with the role console or admin, and without keys for this machine.
"""

from dataclasses import dataclass

from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException

from contract.pseudonyms import Pseudonyms
from service.console.audit_routes import audit_routes
from service.console.downloads import Downloads
from service.console.feed import Feed
from service.console.label_routes import label_routes
from service.console.live import live_routes
from service.console.model_routes import console_model_routes
from service.console.override_routes import override_routes
from service.console.reading import Reader
from service.console.score_routes import console_score_routes
from service.console.session import session_routes
from service.console.static import page_routes, read_pages
from service.keys import KeyRing
from service.limits import Limits
from service.local_only import LocalOnly
from service.log_thread import LogThread
from service.metrics import Metrics
from service.recent import RecentPositives
from service.settings import ServiceSettings
from service.slot import Slot

_EXPORT_S = 120.0


@dataclass(frozen=True)
class Parts:
    """What the console shares with the rest of the service."""

    keys: KeyRing
    slot: Slot
    recent: RecentPositives
    pseudonyms: Pseudonyms
    event_log: LogThread | None
    limits: Limits
    metrics: Metrics
    feed: Feed


class Console:
    """The console of one process."""

    def __init__(self, settings: ServiceSettings, parts: Parts, admin_url: str | None, release: str) -> None:
        """Read the pages; no process is started before the first question."""
        self._settings = settings
        self._parts = parts
        self._admin_url = admin_url
        self._release = release
        self._pages = read_pages()
        self._reader = Reader(settings.home)
        self._exporter = Reader(settings.home, _EXPORT_S)
        self._downloads = Downloads(self._exporter)

    def routes(self, on_admin_port: bool) -> APIRouter:
        """Return the routes of one port."""
        anyone = self._settings.allow_anonymous and not on_admin_port
        data = APIRouter(dependencies=[Depends(LocalOnly(self._parts.keys, anyone))])
        for part in self._data_routes(on_admin_port):
            data.include_router(part)
        router = APIRouter()
        router.include_router(data)
        router.include_router(page_routes(self._pages))  # last: it takes every path under /console/
        return router

    def close(self) -> None:
        """End the processes that read."""
        self._reader.close()
        self._exporter.close()

    def _data_routes(self, on_admin_port: bool) -> list[APIRouter]:
        settings, parts, reader = self._settings, self._parts, self._reader
        has_keys = not parts.keys.is_open
        found = [
            session_routes(settings.home, settings.hash_ids, has_keys, self._admin_url, self._release, on_admin_port),
            live_routes(parts.feed),
            label_routes(reader, self._downloads, parts.pseudonyms, settings.redis_url),
            audit_routes(reader, self._downloads),
            console_model_routes(parts.slot, reader),
            console_score_routes(parts.slot, parts.recent, reader, parts.pseudonyms, parts.limits),
        ]
        if on_admin_port:
            found.append(override_routes(reader, parts.event_log, settings.redis_url, parts.limits, parts.metrics))
        return [*found, _nothing_else()]


def _nothing_else() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/console/api/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def nothing(path: str) -> None:
        """Say that there is no such thing on this port."""
        raise HTTPException(404, "there is no such route on this port; what changes things is on the admin port")

    return router

"""Wiring of the console: what its routes need is made here once a process, and shared by its two ports.

The callers' port shows, the admin port may change things as well. The files of the page are open to everyone; all data
is under `/console/api/`, for keys with the role console or admin, and without keys for this machine.
"""

from fastapi import APIRouter, Depends

from service.console.session import session_routes
from service.console.static import page_routes, read_pages
from service.keys import KeyRing
from service.local_only import LocalOnly
from service.settings import ServiceSettings


class Console:
    """The console of one process."""

    def __init__(self, settings: ServiceSettings, keys: KeyRing, admin_url: str | None, release: str) -> None:
        """Read the pages; nothing else is begun."""
        self._settings = settings
        self._keys = keys
        self._admin_url = admin_url
        self._release = release
        self._pages = read_pages()

    def routes(self, on_admin_port: bool) -> APIRouter:
        """Return the routes of one port."""
        settings, keys = self._settings, self._keys
        anyone = settings.allow_anonymous and not on_admin_port
        data = APIRouter(dependencies=[Depends(LocalOnly(keys, anyone))])
        data.include_router(
            session_routes(
                settings.home, settings.hash_ids, not keys.is_open, self._admin_url, self._release, on_admin_port
            )
        )
        router = APIRouter()
        router.include_router(data)
        router.include_router(page_routes(self._pages))  # last: it takes every path under /console/
        return router

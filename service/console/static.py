"""The files of the console, as they are in `pages/`: read once at start, and served from memory.

A path is looked up among the names that were read, so none leads out of the directory. They hold no data, and need no
key. What a page may load is what lies beside it: no other host, no script or style inside a page.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

PAGES = Path(__file__).parent / "pages"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_HEADERS = {
    "cache-control": "no-cache",  # asked for each time, and answered by 304 while it has not changed
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Page:
    """One file."""

    content: bytes
    media_type: str
    etag: str


def read_pages(directory: Path = PAGES) -> dict[str, Page]:
    """Return every file of a kind that is served, by its path under `directory`."""
    found = sorted(path for path in directory.rglob("*") if path.suffix in _TYPES and path.is_file())
    return {path.relative_to(directory).as_posix(): _page(path) for path in found}


def page_routes(pages: dict[str, Page]) -> APIRouter:
    """Return the routes of the page and of its files."""
    router = APIRouter(include_in_schema=False)

    @router.get("/console")
    @router.get("/console/")
    async def index(request: Request) -> Response:
        """Return the page."""
        return _answer(pages, "index.html", request)

    @router.get("/console/{path:path}")
    async def file(request: Request, path: str) -> Response:
        """Return one file of the page."""
        return _answer(pages, path, request)

    return router


def _answer(pages: dict[str, Page], path: str, request: Request) -> Response:
    page = pages.get(path)
    if page is None:
        raise HTTPException(404, "the console has no such file; it begins at /console")
    headers = _HEADERS | {"etag": page.etag}
    if request.headers.get("if-none-match") == page.etag:
        return Response(status_code=304, headers=headers)
    return Response(page.content, headers=headers, media_type=page.media_type)


def _page(path: Path) -> Page:
    content = path.read_bytes()
    return Page(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')

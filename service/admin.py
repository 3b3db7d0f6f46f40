"""The admin port: which version is served, changed over HTTP by those who may (P6, P11).

Apart from the callers' port, so that no way in from outside leads here. Every change has a reason and the id of the key
that made it, both kept in the registry's history. Without API keys this port listens on this machine only, and a page
in a browser there cannot use it: a body has to be declared as JSON, and the host asked has to be this machine.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Literal

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from contract.errors import ChampionPinned, RegistryError, VersionCorrupt, VersionNotFound
from contract.pointer import Champion
from contract.registry import Registry
from service import problems
from service.access import needed_for_admin
from service.health import Liveness
from service.keys import Caller, KeyRing
from service.limits import Limits
from service.local_only import LocalOnly
from service.metrics import Metrics
from service.observed import Observed
from service.parsing import parse_json, validate

_VERSION = re.compile(r"[0-9]{1,12}")
_Action = Literal["promote", "pin", "unpin", "rollback"]
log = structlog.get_logger()


class Change(BaseModel):
    """Body of a change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    why: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")


class Changed(BaseModel):
    """Answer to a change: the pointer as it is now."""

    champion: str
    previous: str | None
    pinned: bool


def admin_app(
    registry: Registry, keys: KeyRing, limits: Limits, metrics: Metrics, console: APIRouter | None = None
) -> FastAPI:
    """Return the application of the admin port, with the routes of the console if there is one."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_middleware(Observed, metrics=metrics, keys=keys, needed=needed_for_admin)
    problems.install(app)
    local_only = [Depends(LocalOnly(keys))]

    async def change(request: Request, action: _Action, version: str = "") -> Changed:
        """Do what is asked, in a worker thread: the registry waits for its lock and for the disk."""
        why = await _reason_in(request, limits)
        caller: Caller = request.state.caller
        if version and not _VERSION.fullmatch(version):
            raise VersionNotFound("a version is a number such as 000042; GET /v1/models lists them")
        champion = await _in_registry(lambda: _act(registry, action, version, why, caller.key_id))
        log.info("champion_changed", action=action, version=champion.version, pinned=champion.pinned, by=caller.key_id)
        return Changed(champion=champion.version, previous=champion.previous, pinned=champion.pinned)

    @app.post("/admin/models/{version}:promote", dependencies=local_only)
    async def promote(request: Request, version: str) -> Changed:
        """Serve a version, until the trainer promotes a later one."""
        return await change(request, "promote", version)

    @app.post("/admin/models/{version}:pin", dependencies=local_only)
    async def pin(request: Request, version: str) -> Changed:
        """Serve a version and keep it."""
        return await change(request, "pin", version)

    @app.post("/admin/models:unpin", dependencies=local_only)
    async def unpin(request: Request) -> Changed:
        """Let the trainer promote again."""
        return await change(request, "unpin")

    @app.post("/admin/models:rollback", dependencies=local_only)
    async def rollback(request: Request) -> Changed:
        """Go back to the previous champion, and pin it."""
        return await change(request, "rollback")

    @app.get("/livez")
    async def livez() -> Liveness:
        """Say that the process turns."""
        return Liveness(live=True)

    @app.get("/metrics")
    async def read_metrics() -> Response:
        """Return Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    if console is not None:
        app.include_router(console)
    return app


def _act(registry: Registry, action: _Action, version: str, why: str, who: str) -> Champion:
    """Change the pointer as `winnow models` does. The one place that says who did it."""
    by = f"admin key {who}"
    if action == "unpin":
        return registry.unpin(why, who=by)
    if action == "rollback":
        return registry.rollback(why, who=by)
    if version in registry.quarantined():
        raise HTTPException(409, f"version {version} is in quarantine and cannot be served")
    registry.verify(version)
    return registry.promote(version, why, who=by) if action == "promote" else registry.pin(version, why, who=by)


async def _reason_in(request: Request, limits: Limits) -> str:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, 'a change is taken as application/json: {"why": "..."}')
    with limits:
        body = await limits.body_of(dict(request.scope["headers"]), request.receive)
    return validate(Change, parse_json(body)).why


async def _in_registry(change: Callable[[], Champion]) -> Champion:
    try:
        return await asyncio.to_thread(change)
    except (ChampionPinned, VersionCorrupt) as error:
        raise HTTPException(409, str(error)) from error
    except OSError as error:
        raise RegistryError(
            f"the registry cannot be written here ({error.strerror}); run `winnow models` where the trainer runs"
        ) from error

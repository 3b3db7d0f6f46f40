"""GET /console/api/session: what whoever has the console open may do here, and what it can show."""

from pathlib import Path

from fastapi import APIRouter, Request
from pydantic import BaseModel

from contract.api_keys import Role
from contract.settings import HashIds
from service.archive.labels_at_hand import LabelsAtHand, labels_at_hand
from service.keys import Caller


class Session(BaseModel):
    """Answer of the route."""

    may_change: bool  # this is the admin port, and the caller may use it
    keys: bool
    admin_url: str | None
    release: str
    labels: LabelsAtHand
    hashed: HashIds


def session_routes(
    home: Path, hashed: HashIds, keys: bool, admin_url: str | None, release: str, on_admin_port: bool
) -> APIRouter:
    """Return the route."""
    router = APIRouter(include_in_schema=False)

    @router.get("/console/api/session")
    async def session(request: Request) -> Session:
        """Say what the caller may do here."""
        caller: Caller = request.state.caller
        return Session(
            may_change=on_admin_port and Role.ADMIN in caller.roles,
            keys=keys,
            admin_url=admin_url,
            release=release,
            labels=labels_at_hand(home),
            hashed=hashed,
        )

    return router

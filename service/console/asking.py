"""From the query or body of a console route to what is asked, or to a problem that names field and bound."""

from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from contract.pseudonyms import Pseudonyms
from service.limits import Limits
from service.parsing import parse_json, validate

_Asked = TypeVar("_Asked", bound=BaseModel)
_PSEUDONYM_DIGITS = 32


def asked_in(request: Request, model: type[_Asked]) -> _Asked:
    """Return the query of a request as a `model`. Raises InvalidBody; a name that comes twice counts once, the last."""
    return validate(model, dict(request.query_params), "the query is not valid; see errors")


async def body_in(request: Request, model: type[_Asked], limits: Limits) -> _Asked:
    """Return the JSON body of a request. Raises InvalidBody, TooLarge, and HTTPException 400, 408, 415 or 503.

    A page of elsewhere cannot send this media type without asking first, and is not allowed to.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "this is taken as application/json")
    with limits:
        body = await limits.body_of(dict(request.scope["headers"]), request.receive)
    return validate(model, parse_json(body))


def as_json(content: bytes) -> Response:
    """Return an answer that is JSON already."""
    return Response(content, media_type="application/json")


def as_stored(query: dict[str, Any], pseudonyms: Pseudonyms) -> dict[str, Any]:
    """Return a query with the ids that are stored: one that looks like a pseudonym was copied from an answer."""
    found = dict(query)
    if pseudonyms.hides_people and found.get("user"):
        found["user"] = found["user"] if _is_pseudonym(found["user"]) else pseudonyms.user(found["user"])
    if pseudonyms.hides_items and found.get("item"):
        found["item"] = found["item"] if _is_pseudonym(found["item"]) else pseudonyms.item(found["item"])
    return found


def _is_pseudonym(text: str) -> bool:
    return len(text) == _PSEUDONYM_DIGITS and all(digit in "0123456789abcdef" for digit in text)

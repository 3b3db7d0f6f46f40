"""From the bytes of a body to validated values: whatever was sent, the worst is a 4xx that does not repeat it (P11).

JSON is parsed before it is validated, so that counts are bounded before they cost anything.
"""

from collections.abc import Set as AbstractSet
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from contract.api import Candidate, ScoreRequest
from contract.errors import TooLarge
from contract.events import FeedbackEvent
from service.problems import InvalidBody

ERRORS_SHOWN = 20
MOST_FIELDS = 32  # of an object: twice what the largest of ours has
_ERRORS_LISTABLE = 10_000  # listing more of them would hold up the event loop
_FIELDS = {"events", "requests", *ScoreRequest.model_fields, *Candidate.model_fields, *FeedbackEvent.model_fields}
_Body = TypeVar("_Body", bound=BaseModel)


def parse_json(body: bytes, what: str = "the body") -> object:
    """Return the value of UTF-8 JSON. Raises HTTPException 400 for anything else, NaN included."""
    try:
        value: object = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"{what} is not valid JSON: {error}") from None
    return value


def is_plain(body: bytes) -> bool:
    """Return whether no text in JSON can hold a control character: below U+0020 they have to be escaped."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def check_count(values: object, bound: int, what: str, setting: str) -> None:
    """Raise TooLarge if `values` is a list of more than `bound`."""
    if isinstance(values, list) and len(values) > bound:
        raise TooLarge(f"{len(values)} {what} in one request, the bound is {bound}; split it, or raise {setting}")


def check_fields(values: object) -> None:
    """Raise InvalidBody if `values`, or one of a list of values, is an object of far more fields than any of ours.

    Naming every one of 100,000 unknown fields takes pydantic longer than a request may take.
    """
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, dict) and len(value) > MOST_FIELDS:
            raise InvalidBody(
                f"an object has {len(value)} fields, the bound is {MOST_FIELDS}; send those of /openapi.json", []
            )


def validate(
    model: type[_Body], value: object, problem: str = "the body is not valid; see errors, and /openapi.json"
) -> _Body:
    """Return `value` as a body of type `model`. Raises InvalidBody with the first errors and their paths."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidBody(problem, _listed(error, _FIELDS | model.model_fields.keys())) from None


def _listed(error: ValidationError, fields: AbstractSet[str]) -> list[dict[str, str]]:
    if error.error_count() > _ERRORS_LISTABLE:
        return [{"field": "body", "problem": f"{error.error_count()} things are wrong with it"}]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    listed = ({"field": _path(one["loc"], fields), "problem": _say(one["type"], one["msg"])} for one in found)
    return list({tuple(one.items()): one for one in listed}.values())[:ERRORS_SHOWN]


def _path(location: tuple[int | str, ...], fields: AbstractSet[str]) -> str:
    """Name the place by indexes and our own field names only: other names may have come from the caller."""
    return ".".join(str(part) for part in location if isinstance(part, int) or part in fields) or "body"


def _say(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "has a field that is not in the schema; leave it out"
    return message.removeprefix("Value error, ")

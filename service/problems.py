"""Errors as problem+json (RFC 9457): one table from error to status, and no answer that repeats what was sent."""

from collections.abc import Sequence
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from contract.errors import InvalidInput, LogError, RegistryError, TooLarge, VersionNotFound

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = {"retry-after": "1"}
SECURITY_HEADERS = [  # of every answer: it is data, of this moment, and nothing in it is to be run
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'"),
]

# The first class that fits decides; narrow before wide.
_STATUS: list[tuple[type[Exception], HTTPStatus]] = [
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (RequestValidationError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LogError, HTTPStatus.SERVICE_UNAVAILABLE),
    (VersionNotFound, HTTPStatus.NOT_FOUND),
    (RegistryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ClientDisconnect, HTTPStatus.BAD_REQUEST),
]


class InvalidBody(InvalidInput):
    """A body that is well-formed but breaks its schema; `errors` says where."""

    def __init__(self, message: str, errors: list[dict[str, str]]) -> None:
        """Keep the list of {field, problem} beside the message."""
        super().__init__(message)
        self.errors = errors


def problem_response(error: Exception, request_id: str) -> Response:
    """Return the answer to `error`; anything not in the table is a 500 that says nothing of the cause."""
    status, detail, headers = _describe(error)
    body = problem_bytes(status, detail, request_id, error.errors if isinstance(error, InvalidBody) else ())
    return Response(body, status.value, headers | {"x-request-id": request_id}, media_type=MEDIA_TYPE)


def problem_bytes(status: int, detail: str, request_id: str, errors: Sequence[dict[str, str]] = ()) -> bytes:
    """Return the body of a problem."""
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "request_id": request_id,
        "errors": list(errors),
    }
    return orjson.dumps(problem)


def install(app: FastAPI) -> None:
    """Answer every error of `app` by the table, instead of by the framework."""

    async def answer(request: Request, error: Exception) -> Response:
        return problem_response(error, request.state.request_id)

    for kind in (*(kind for kind, _ in _STATUS), HTTPException):
        app.add_exception_handler(kind, answer)


def _describe(error: Exception) -> tuple[HTTPStatus, str, dict[str, str]]:
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return status, error.detail, dict(error.headers or {})
    for kind, status in _STATUS:
        if isinstance(error, kind):
            detail = "a parameter is not valid" if kind is RequestValidationError else str(error)
            return status, detail, RETRY_AFTER if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    return HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the service; its log has the request id", {}

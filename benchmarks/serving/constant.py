"""The least that a Python web server can do: read the body, answer as many bytes as the path asks for.

Run by uvicorn with the settings of the service: `POST /8192` is answered with 8,192 bytes. It imports nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
_HEADERS: dict[str, list[tuple[bytes, bytes]]] = {}
_BODIES: dict[str, bytes] = {}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer one request."""
    path = scope["path"]
    if path not in _BODIES:
        size = int(path[1:] or 2)
        _BODIES[path] = b"x" * size
        _HEADERS[path] = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS[path]})
    await send({"type": "http.response.body", "body": _BODIES[path]})

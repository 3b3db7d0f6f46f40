"""Without API keys, what is not for every caller answers to the names of this machine only.

A page in a browser here can be given any name for 127.0.0.1 by whoever owns that name, and would then read and change
what it likes; the host it asks for tells it apart.
"""

from fastapi import Request
from starlette.exceptions import HTTPException

from service.access import is_loopback
from service.keys import KeyRing


class LocalOnly:
    """A dependency of routes: refuses to answer to a name of elsewhere while there are no keys."""

    def __init__(self, keys: KeyRing, anyone: bool = False) -> None:
        """Look whether there are keys; with `anyone` no name is refused (a network whose every member is trusted)."""
        self._keys = keys
        self._anyone = anyone

    async def __call__(self, request: Request) -> None:
        """Raise HTTPException 403 if the host that was asked may be elsewhere."""
        if self._keys.is_open and not self._anyone and not is_loopback(request.url.hostname or ""):
            raise HTTPException(403, "without API keys this answers to localhost only; ask it by that name")

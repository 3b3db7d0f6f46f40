"""Pages of other origins that may call from a browser (CORS): none, unless the settings name them.

No credentials of a browser are ever allowed, for none are read: a page sends its API key in a header, like anyone.
"""

from collections.abc import Mapping

Pairs = list[tuple[bytes, bytes]]

_PREFLIGHT: Pairs = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, x-api-key, x-request-id"),
    (b"access-control-max-age", b"600"),
]


class Origins:
    """The origins that may call."""

    def __init__(self, listed: str) -> None:
        """Take the setting: origins by comma."""
        self._allowed = frozenset(origin.encode() for origin in listed.split(",") if origin)

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def headers_for(self, headers: Mapping[bytes, bytes]) -> Pairs:
        """Return what an answer says to the browser: which one origin may read it, if it is allowed."""
        origin = headers.get(b"origin")
        vary = [(b"vary", b"origin")] if self._allowed else []
        return [(b"access-control-allow-origin", origin), *vary] if origin in self._allowed and origin else vary

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Pairs | None:
        """Return the headers that answer a browser's question before a call, or None if this is no such question."""
        asks = method == "OPTIONS" and b"access-control-request-method" in headers
        return [*self.headers_for(headers), *_PREFLIGHT] if asks and headers.get(b"origin") in self._allowed else None

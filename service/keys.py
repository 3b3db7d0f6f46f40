"""API keys at the door: who calls, whether they may, and how often (P7, P11).

The file is read again when it changes; one that is damaged is said once, and the keys from before stay. A key is found
by its id and compared by its digest in constant time, and an unknown id is compared too, so that time tells nothing.
Every refusal to know a caller reads the same. Keys are taken from headers only, and written nowhere.
"""

import asyncio
import hmac
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path

import structlog
from starlette.exceptions import HTTPException

from contract.api_keys import ApiKey, Role, digest_of, id_in, read_keys
from contract.errors import SetupError
from service.access import Needed
from service.metrics import Metrics
from service.rates import Bucket, UserCounts, too_often
from service.settings import ServiceSettings

ANONYMOUS = "anonymous"
_UNKNOWN = (
    "a valid API key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`; `winnow keys new` makes one"
)
_CHALLENGE = {"www-authenticate": 'Bearer realm="winnow"'}
_BEARER = b"bearer "
_Signature = tuple[int, ...] | None
log = structlog.get_logger()


class Caller:
    """Who sent a request, with what is left of its bounds."""

    def __init__(self, key_id: str, roles: frozenset[Role], requests: float, events: float, users: UserCounts) -> None:
        """Describe a caller that may send so many requests and events a second; 0 is no bound."""
        self.key_id = key_id
        self.roles = roles
        self._requests = Bucket(requests) if requests else None
        self._events = Bucket(events) if events else None
        self._users = users

    def count_request(self) -> None:
        """Count one request. Raises HTTPException 429 if there were too many."""
        if self._requests is not None and (wait_s := self._requests.take(1, time.monotonic())):
            what = f"this caller sends more than {self._requests.rate:g} requests a second"
            raise too_often(wait_s, what, "WINNOW_KEY_REQUESTS_PER_S or the key's own limit")

    def count_events(self, user_ids: Sequence[str]) -> None:
        """Count a request's feedback events, all of them or none. Raises HTTPException 429 if there were too many."""
        now = time.monotonic()
        if refused := self._users.take(user_ids, now):
            place, wait_s = refused
            raise too_often(wait_s, f"the user of events.{place} has too many", "WINNOW_USER_EVENTS_PER_MINUTE")
        if self._events is not None and (wait_s := self._events.take(len(user_ids), now)):
            what = f"this caller sends more than {self._events.rate:g} events a second"
            raise too_often(wait_s, what, "WINNOW_KEY_EVENTS_PER_S or the key's own limit")


class _Known:
    """A key of the file."""

    def __init__(self, key: ApiKey, caller: Caller) -> None:
        self.key = key
        self.digest = bytes.fromhex(key.sha256)
        self.expires_s = float("inf") if key.expires is None else key.expires.astimezone(UTC).timestamp()
        self.caller = caller


class KeyRing:
    """The keys that are valid now. Without a file everybody is the same anonymous caller, who may do everything."""

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        """Read the keys. Raises SetupError if the file named cannot be used."""
        self._settings = settings
        self._metrics = metrics
        self._users = UserCounts(settings.user_events_per_minute)
        self._file = settings.api_keys_file
        self._nobody = digest_of(secrets.token_bytes(32))
        self._seen: _Signature = None
        self._known: dict[str, _Known] = {}
        self._anonymous = Caller(
            ANONYMOUS,
            frozenset(Role),
            settings.anonymous_requests_per_s,
            settings.anonymous_events_per_s,
            self._users,
        )
        metrics.keys_up.set(1)
        if self._file is not None:
            self._seen = _signature(self._file)
            self._take_over(read_keys(self._file))

    @property
    def is_open(self) -> bool:
        """Whether callers need no key."""
        return self._file is None

    def admit(self, headers: Mapping[bytes, bytes], needed: Needed) -> Caller:
        """Return who calls, once they may. Raises HTTPException 401, 403 or 429. `headers` have names in lower case."""
        if needed is None:
            return self._anonymous
        caller = self._anonymous if self._file is None else self._identify(headers)
        if needed and not needed & caller.roles:
            self._metrics.turned_away[("role",)].inc()
            raise HTTPException(403, f"this API key has not the role {' or '.join(sorted(needed))}")
        try:
            caller.count_request()
        except HTTPException:
            self._metrics.turned_away[("rate",)].inc()
            raise
        return caller

    async def watch(self, poll_s: float) -> None:
        """Follow the file until cancelled."""
        while True:
            await asyncio.sleep(poll_s)
            await self.look()

    async def look(self) -> None:
        """Read the file again if it has changed; keep the keys there are if it cannot be used."""
        if self._file is None:
            return
        signature = await asyncio.to_thread(_signature, self._file)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._take_over(await asyncio.to_thread(read_keys, self._file))
        except SetupError as error:
            self._metrics.keys_up.set(0)
            log.warning("api_keys_not_read", reason=str(error), keys_kept=len(self._known))

    def _take_over(self, keys: Sequence[ApiKey]) -> None:
        self._known = {key.id: self._known_as(key) for key in keys}
        self._metrics.keys_up.set(1)
        log.info("api_keys_read", keys=len(keys))

    def _known_as(self, key: ApiKey) -> _Known:
        """A key that has not changed keeps its buckets: to touch the file must not fill them."""
        before = self._known.get(key.id)
        if before is not None and before.key == key:
            return before
        own = key.limits
        requests = own.requests_per_s if own and own.requests_per_s is not None else self._settings.key_requests_per_s
        events = own.events_per_s if own and own.events_per_s is not None else self._settings.key_events_per_s
        return _Known(key, Caller(key.id, frozenset(key.roles), requests, events, self._users))

    def _identify(self, headers: Mapping[bytes, bytes]) -> Caller:
        given = _key_in(headers)
        known = self._known.get(id_in(given) or "")
        digest = self._nobody if known is None else known.digest
        matches = hmac.compare_digest(digest_of(given), digest)
        if known is None or not matches or time.time() >= known.expires_s:
            self._metrics.turned_away[("key",)].inc()
            raise HTTPException(401, _UNKNOWN, _CHALLENGE)
        return known.caller


def _key_in(headers: Mapping[bytes, bytes]) -> bytes:
    given = headers.get(b"authorization", b"")
    if given[: len(_BEARER)].lower() == _BEARER:
        return given[len(_BEARER) :].strip()
    return headers.get(b"x-api-key", b"")


def _signature(path: Path) -> _Signature:
    """Return what changes when a file does; None for one that is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode

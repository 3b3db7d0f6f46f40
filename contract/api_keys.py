"""API keys at rest: who may call for what, in one file that holds no secret.

    {"keys": [{"id": "5f0c6c1e9ab2", "sha256": "...", "roles": ["score"], "name": "ranker",
               "created": "2026-11-24T08:00:00Z", "expires": null, "limits": null}]}

A key is `wnw_<id>_<secret>` with 256 random bits. The file has its SHA-256, and for so random a secret a slow hash adds
nothing. Only its owner may read the file. `winnow keys` writes it, the service reads it.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.durable import write_atomically
from contract.errors import SetupError
from contract.secret_files import read_private

_SHAPE = re.compile(rb"wnw_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class Role(StrEnum):
    """What a key may be used for."""

    SCORE = "score"
    FEEDBACK = "feedback"
    ADMIN = "admin"
    METRICS = "metrics"
    CONSOLE = "console"  # to look at everything the console shows, and change nothing


class KeyLimits(BaseModel):
    """Bounds of one key, in place of the service's settings; 0 is no bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_s: float | None = Field(default=None, ge=0)
    events_per_s: float | None = Field(default=None, ge=0)


class ApiKey(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    name: str = Field(max_length=128)
    created: AwareDatetime
    expires: AwareDatetime | None = None
    limits: KeyLimits | None = None

    def is_live(self, now: datetime) -> bool:
        """Return whether the key may be used at `now`."""
        return self.expires is None or now < self.expires


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[ApiKey, ...]

    @model_validator(mode="after")
    def _each_id_once(self) -> "_KeyFile":
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("an id comes twice")
        return self


def new_key(
    roles: Sequence[Role], name: str, lives_for: timedelta | None = None, limits: KeyLimits | None = None
) -> tuple[str, ApiKey]:
    """Return a new key as its caller has to send it, and its entry. The first is kept nowhere."""
    key_id = secrets.token_hex(6)
    key = f"wnw_{key_id}_{secrets.token_urlsafe(32)}"
    now = datetime.now(UTC).replace(microsecond=0)
    expires = None if lives_for is None else now + lives_for
    in_order = tuple(dict.fromkeys(roles))
    entry = ApiKey(
        id=key_id,
        sha256=digest_of(key.encode()).hex(),
        roles=in_order,
        name=name,
        created=now,
        expires=expires,
        limits=limits,
    )
    return key, entry


def id_in(key: bytes) -> str | None:
    """Return the id inside a key, or None for what has not the shape of one."""
    found = _SHAPE.fullmatch(key)
    return found[1].decode() if found else None


def digest_of(key: bytes) -> bytes:
    """Return what the file keeps of a key. 32 bytes."""
    return hashlib.sha256(key).digest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the entries of a file. Raises SetupError if it cannot be read, others can read it, or it is damaged."""
    content = read_private(path, "API keys file", f"make it with `winnow keys new --file {path}`")
    try:
        return _KeyFile.model_validate_json(content).keys
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise SetupError(
            f"keys file {path} is damaged at {where} ({first['msg']}); restore it, or move it away and make others"
        ) from None


def write_keys(path: Path, keys: Sequence[ApiKey]) -> None:
    """Replace the file by `keys`, atomically, for its owner alone."""
    content = _KeyFile(keys=tuple(keys)).model_dump_json(indent=2).encode()
    write_atomically(path, content + b"\n", mode=0o600)

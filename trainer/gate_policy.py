"""The gate's bounds as a file: read with the remedy where it is wrong, and printed as it could be read (P4)."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from contract.errors import SetupError
from trainer.gates import GatePolicy

MAX_POLICY_BYTES = 1 << 16


def read_policy(path: Path | None, min_events: int) -> GatePolicy:
    """Return the policy of a TOML file; what it does not name is the default, and without a file all is.

    `min_events` is the setting of that name, which the file replaces where it names it. Raises SetupError naming the
    field, what it may be and what it is.
    """
    if path is None:
        return GatePolicy(min_events=min_events)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_POLICY_BYTES + 1)
        if len(content) > MAX_POLICY_BYTES:
            raise SetupError(f"gate policy {path} has over {MAX_POLICY_BYTES} bytes; name each bound once")
        found = tomllib.loads(content.decode())
    except OSError as error:
        raise SetupError(f"gate policy {path} cannot be read ({error.strerror}); see WINNOW_GATE_POLICY") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"gate policy {path} is not TOML ({error}); write lines such as max_ece = 0.05") from error
    if unknown := found.keys() - GatePolicy.model_fields.keys():
        known = ", ".join(GatePolicy.model_fields)
        raise SetupError(f"gate policy {path}: there is no bound {min(unknown)[:40]!r}; there are {known}")
    try:
        return GatePolicy.model_validate({"min_events": min_events} | found, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise SetupError(
            f"gate policy {path}: {name} is {str(first['input'])[:40]}, it may be {allowed(name)}; "
            f"the default is {GatePolicy.model_fields[name].default:g}"
        ) from error


def policy_lines(policy: GatePolicy) -> list[str]:
    """Return the policy as TOML, a line a bound, with what it may be and what it does."""
    return [
        f"{name} = {getattr(policy, name)!r}  # {allowed(name)}; {info.description}"
        for name, info in GatePolicy.model_fields.items()
    ]


def allowed(name: str) -> str:
    """Return what a bound may be, in words."""
    info = GatePolicy.model_fields[name]
    found = {side: getattr(part, side) for part in info.metadata for side in ("ge", "le") if hasattr(part, side)}
    kind = "whole, " if info.annotation is int else ""
    return f"{kind}at least {found['ge']:g}" + (f", at most {found['le']:.12g}" if "le" in found else "")

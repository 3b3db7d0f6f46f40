"""`winnow keys`: make, list and revoke API keys. A key is shown once, when it is made; the file keeps its hash."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract.api_keys import ApiKey, KeyLimits, Role, new_key, read_keys, write_keys
from contract.errors import SetupError
from winnow.complaints import one_line_errors

app = typer.Typer(help="API keys of the service.", no_args_is_help=True)
console = Console()
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}

File = Annotated[
    Path | None,
    typer.Option(help="API keys file.", envvar="WINNOW_API_KEYS_FILE", show_envvar=True, show_default=False),
]
Rate = Annotated[float | None, typer.Option(min=0, help="Bound of this key in place of the setting; 0 is none.")]


@app.command()
@one_line_errors
def new(
    role: Annotated[list[Role], typer.Option(help="What it may be used for; may be given several times.")],
    name: Annotated[str, typer.Option(help="Who uses it, for the list.")],
    expires: Annotated[str | None, typer.Option(help="For how long, such as 90d, 12h or 30m.")] = None,
    requests_per_s: Rate = None,
    events_per_s: Rate = None,
    file: File = None,
) -> None:
    """Make a key and print it, once."""
    path = _given(file)
    lives_for = None if expires is None else duration_of(expires)
    own = requests_per_s is not None or events_per_s is not None
    limits = KeyLimits(requests_per_s=requests_per_s, events_per_s=events_per_s) if own else None
    key, entry = new_key(role, name, lives_for, limits)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_writer(path):
        write_keys(path, [*(read_keys(path) if path.exists() else ()), entry])
    typer.echo(key)
    typer.echo(f"key {entry.id} is in {path}; it is shown this once and cannot be read back", err=True)


@app.command("list")
@one_line_errors
def list_keys(file: File = None) -> None:
    """List the keys, oldest first."""
    now = datetime.now(UTC)
    table = Table("id", "name", "roles", "created", "expires", "state")
    for key in sorted(read_keys(_given(file)), key=lambda key: key.created):
        expires = "never" if key.expires is None else _written(key.expires)
        state = "live" if key.is_live(now) else "expired"
        table.add_row(key.id, escape(key.name), " ".join(key.roles), _written(key.created), expires, state)
    console.print(table)


@app.command()
@one_line_errors
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `list` shows it.")], file: File = None
) -> None:
    """Take a key away; services refuse it within WINNOW_API_KEYS_POLL_S."""
    path = _given(file)
    with _only_writer(path):
        keys = read_keys(path)
        left = [key for key in keys if key.id != key_id]
        if len(left) == len(keys):
            known = ", ".join(key.id for key in keys) or "none"
            raise SetupError(f"no key has the id {key_id!r}; {path} has: {known}")
        write_keys(path, left)
    console.print(f"key {key_id} is revoked; {_counted(left)}")


def duration_of(text: str) -> timedelta:
    """Return the duration that 90d, 12h or 30m stands for. Raises SetupError."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([dhm])", text)
    if found is None:
        raise SetupError(f"--expires {text!r} is not a duration; write days, hours or minutes as 90d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _given(file: Path | None) -> Path:
    if file is None:
        raise SetupError("no API keys file is named; give --file, or set WINNOW_API_KEYS_FILE as the service has it")
    return file


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _counted(keys: list[ApiKey]) -> str:
    return "none is left, and every call is refused" if not keys else f"{len(keys)} left"


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Two commands at once must not lose each other's key."""
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

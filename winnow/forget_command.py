"""`winnow forget USER`: ask the trainer to forget a user, wait until it has, and say what still remembers them.

The request is an entry of the event log (`contract.tombstone`), so it is carried out once and in order, crash or none.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import redis
import typer
from rich.console import Console

from contract.errors import LogUnavailable, SetupError
from contract.event_log import EventLog, StreamId, stream_key
from contract.hashing import id_key
from contract.pseudonyms import Pseudonyms
from contract.registry import Registry
from contract.settings import IdSettings, LogSettings
from contract.tombstone import append_tombstone
from winnow.complaints import one_line_errors
from winnow.embedded_log import EmbeddedLog

console = Console()
_LOOK_S = 0.2


@one_line_errors
def forget(
    user: Annotated[str, typer.Argument(help="The user's id, as it was sent with feedback.")],
    home: Annotated[Path | None, typer.Option(help="Directory of all runtime state [default: .winnow].")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Event log; without it this home's own.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until it is done; 0 only asks.")] = 0.0,
    rewrite_aof: Annotated[
        bool, typer.Option(help="Then have the log's server rewrite its files, so that they hold no trimmed entry.")
    ] = False,
) -> None:
    """Forget a user: row, history, what waits, label-log rows. The user coming back is a new one."""
    given: dict[str, Any] = {"home": home, "redis_url": redis_url}
    settings = LogSettings(**{name: value for name, value in given.items() if value is not None})
    embedded = EmbeddedLog(settings.home) if settings.redis_url is None else nullcontext(None)
    with embedded as own:
        url = settings.redis_url or (own.url if own else "")
        log, registry = EventLog(url), Registry(settings.registry_directory)
        partition, asked = append_tombstone(log, id_key(user_text(user)))
        console.print(f"asked: entry {partition}/{asked}")
        if wait:
            _wait(log, url, registry, partition, asked, time.monotonic() + wait)
            if rewrite_aof:
                _rewrite(url)
        for line in remains(registry, partition, asked):
            console.print(line, soft_wrap=True)


def user_text(user: str) -> str:
    """Return the id as the service stores it, hashed where it hashes ids."""
    return Pseudonyms.of(IdSettings()).user(user)


def holding(registry: Registry, partition: int, asked: StreamId) -> list[str]:
    """Return the versions, refused ones too, that were made before the trainer reached a tombstone."""
    made = {number: registry.manifest(number) for number in [*registry.versions(), *registry.quarantined()]}
    through = {number: manifest.trained_through.position.get(str(partition)) for number, manifest in made.items()}
    return sorted((n for n, at in through.items() if at is None or StreamId.parse(at) < asked), key=int)


def remains(registry: Registry, partition: int, asked: StreamId) -> list[str]:
    """Return what may still remember the user, and until when, in words."""
    old, champion = holding(registry, partition, asked), registry.champion()
    lines = []
    if old:
        lines.append(f"{len(old)} versions from before hold the user's key ({old[0]} to {old[-1]}); they rotate out")
    if champion and champion.version in old:
        pinned = "it is pinned: `winnow models unpin`" if champion.pinned else "until the next version is promoted"
        lines.append(f"version {champion.version} is served and knows the user: {pinned}")
    if champion and champion.previous in old:
        lines.append(f"version {champion.previous} is kept for a rollback, until two more are promoted")
    lines.append("checkpoints from before go with the next ones; the log's files hold trimmed entries until rewritten")
    return lines


def _wait(log: EventLog, url: str, registry: Registry, partition: int, asked: StreamId, deadline: float) -> None:
    """Wait until a checkpoint covers the tombstone, the log is trimmed behind it, and a version without is served."""

    def is_served() -> bool:
        champion = registry.champion()
        return champion is not None and champion.version not in holding(registry, partition, asked)

    def is_trimmed() -> bool:
        with redis.Redis.from_url(url) as client:
            # The tombstone itself stays while it is the last entry: reads begin at it.
            return not client.xrange(stream_key(partition), max=f"({asked}", count=1)

    _until(lambda: log.published()[partition] >= asked, deadline, "a checkpoint covers it", "is the trainer running?")
    _until(is_served, deadline, "a version without the user is served", "see `winnow models list` and its verdicts")
    _until(is_trimmed, deadline, "older checkpoints and the log's entries are gone", "the trainer goes on with it")


def _until(holds: Callable[[], bool], deadline: float, what: str, remedy: str) -> None:
    while not holds():
        if time.monotonic() > deadline:
            raise SetupError(f"not yet: {what}; {remedy} The request stands, and need not be made again")
        time.sleep(_LOOK_S)
    console.print(f"done: {what}")


def _rewrite(url: str) -> None:
    try:
        with redis.Redis.from_url(url) as client:
            client.bgrewriteaof()
    except redis.RedisError as error:
        raise LogUnavailable(f"the log's server did not rewrite its files ({error}); run BGREWRITEAOF there") from error
    console.print("done: the log's server rewrites its files")

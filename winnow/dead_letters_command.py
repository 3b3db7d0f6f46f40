"""`winnow dead-letters`: look at what the trainer could not use, and give it another try (P8).

A replay decodes again, appends what is sound now under the same event ids, and removes the letter once the log has
confirmed: a death in between leaves both, and the ids keep the events from being trained twice (P2).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from contract.blocks import decode_block, encode_partitions, pieces_of
from contract.dead_letters import DeadLetter, DeadLetters, Reason
from contract.errors import CorruptBlock, InvalidInput
from contract.event_log import EventLog
from contract.settings import LogSettings
from winnow.complaints import one_line_errors
from winnow.embedded_log import EmbeddedLog

app = typer.Typer(help="What the trainer could not use.", no_args_is_help=True)
console = Console()

Home = Annotated[Path | None, typer.Option(help="Directory of all runtime state [default: .winnow].")]
RedisUrl = Annotated[str | None, typer.Option(help="Event log; without it the home's embedded server.")]
Source = Annotated[str, typer.Argument(help="Where it stood, such as 3/1795593600000-0 (see list).")]
OneSource = Annotated[str | None, typer.Argument(help="Where it stood, such as 3/1795593600000-0 (see list).")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
@one_line_errors
def list_letters(
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    home: Home = None,
    redis_url: RedisUrl = None,
) -> None:
    """List dead letters, oldest first."""
    with _log(home, redis_url) as log:
        letters = DeadLetters(log).all()
    if json:
        for letter in letters:
            facts = {"source": letter.source, "reason": letter.reason, "why": letter.why, "events": letter.events}
            sys.stdout.write(orjson.dumps(facts).decode() + "\n")
        return
    table = Table("source", "reason", "events", "why")
    for letter in letters:
        table.add_row(letter.source, letter.reason, str(letter.events), repr(letter.why)[1:-1])
    console.print(table)


@app.command()
@one_line_errors
def show(source: Source, home: Home = None, redis_url: RedisUrl = None) -> None:
    """Print one dead letter with its bytes, in hex."""
    with _log(home, redis_url) as log:
        letter = _found(DeadLetters(log), source)
    facts = {"source": letter.source, "reason": letter.reason, "why": letter.why, "events": letter.events}
    sys.stdout.write(orjson.dumps({**facts, "block": letter.block.hex()}, option=orjson.OPT_INDENT_2).decode() + "\n")


@app.command()
@one_line_errors
def replay(source: OneSource = None, every: All = False, home: Home = None, redis_url: RedisUrl = None) -> None:
    """Append again what can be decoded now; say why the rest cannot, and end with 1 if there is any."""
    refused = 0
    with _log(home, redis_url) as log:
        letters = DeadLetters(log)
        for letter in _chosen(letters, source, every):
            why = append_again(log, letter)
            if why:
                refused += 1
                sys.stdout.write(f"{letter.source}: {why}\n")
            else:
                letters.remove(letter.source)
                sys.stdout.write(f"{letter.source}: {letter.events} events appended\n")
    if refused:
        raise typer.Exit(1)


@app.command()
@one_line_errors
def drop(source: OneSource = None, every: All = False, home: Home = None, redis_url: RedisUrl = None) -> None:
    """Remove dead letters for good."""
    with _log(home, redis_url) as log:
        letters = DeadLetters(log)
        dropped = sum(letters.remove(letter.source) for letter in _chosen(letters, source, every))
    sys.stdout.write(f"{dropped} dropped\n")


def append_again(log: EventLog, letter: DeadLetter) -> str | None:
    """Append a letter's events to the log once more; return why not, if they cannot be."""
    if letter.reason is Reason.KILLED:
        return (
            "the trainer died while it learned this event; after an upgrade that mends it, move suspects/ of the home "
            "away, restart the trainer, and send the event again"
        )
    try:
        events = decode_block(letter.block)
    except CorruptBlock as error:
        return f"still unsound: {error}"
    log.append(encode_partitions([pieces_of(events)]))
    return None


def _chosen(letters: DeadLetters, source: str | None, every: bool) -> list[DeadLetter]:
    if every == (source is not None):
        raise InvalidInput("name one SOURCE, or say --all")
    return [_found(letters, source)] if source is not None else letters.all()


def _found(letters: DeadLetters, source: str) -> DeadLetter:
    letter = letters.find(source)
    if letter is None:
        raise InvalidInput(f"there is no dead letter of {source!r}; see `winnow dead-letters list`")
    return letter


@contextmanager
def _log(home: Path | None, redis_url: str | None) -> Iterator[EventLog]:
    given = {"home": home, "redis_url": redis_url}
    settings = LogSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    if settings.redis_url:
        yield EventLog(settings.redis_url)
        return
    with EmbeddedLog(settings.home) as embedded:
        yield EventLog(embedded.url)

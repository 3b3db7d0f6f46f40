"""`winnow models`: look at versions, and choose which one is served."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contract.registry import Champion, Registry
from contract.settings import HomeSettings
from winnow.complaints import one_line_errors

app = typer.Typer(help="Versions of the registry.", no_args_is_help=True)
console = Console()

Home = Annotated[Path | None, typer.Option(help="Directory of all runtime state [default: .winnow].")]
Version = Annotated[str, typer.Argument(help="A version, such as 000042.")]
Why = Annotated[str, typer.Option(help="Reason, kept in the history.")]


@app.command("list")
@one_line_errors
def list_versions(home: Home = None) -> None:
    """List versions, newest first."""
    registry = _registry(home)
    champion = registry.champion()
    table = Table("version", "state", "created", "events", "AUC", "verdict")
    quarantined = set(registry.quarantined())
    for version in sorted([*registry.versions(), *quarantined], reverse=True):
        manifest = registry.manifest(version)
        is_champion = champion is not None and champion.version == version
        state = "quarantined" if version in quarantined else "candidate"
        if is_champion and champion:
            state = "champion, pinned" if champion.pinned else "champion"
        auc = manifest.metrics.get("auc")
        created = datetime.fromtimestamp(manifest.created_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        events = f"{manifest.trained_through.events:,}"
        table.add_row(version, state, created, events, f"{auc:.4f}" if auc else "", manifest.verdict)
    console.print(table)


@app.command()
@one_line_errors
def show(version: Version, home: Home = None) -> None:
    """Print a version's manifest."""
    console.print_json(_registry(home).manifest(version).model_dump_json())


@app.command()
@one_line_errors
def verify(version: Version, home: Home = None) -> None:
    """Compare every file of a version with its manifest."""
    manifest = _registry(home).verify(version)
    console.print(f"version {version}: {len(manifest.files)} files are what the manifest says")


@app.command()
@one_line_errors
def promote(version: Version, why: Why = "by hand", home: Home = None) -> None:
    """Serve a version, until the trainer promotes a later one."""
    _registry(home).verify(version)
    _say(_registry(home).promote(version, why))


@app.command()
@one_line_errors
def pin(version: Version, why: Why = "by hand", home: Home = None) -> None:
    """Serve a version and keep it until `unpin`."""
    _registry(home).verify(version)
    _say(_registry(home).pin(version, why))


@app.command()
@one_line_errors
def unpin(why: Why = "by hand", home: Home = None) -> None:
    """Let the trainer promote again."""
    _say(_registry(home).unpin(why))


@app.command()
@one_line_errors
def rollback(why: Why = "by hand", home: Home = None) -> None:
    """Go back to the previous champion, and pin it."""
    _say(_registry(home).rollback(why))


def _registry(home: Path | None) -> Registry:
    settings = HomeSettings() if home is None else HomeSettings(home=home)
    return Registry(settings.registry_directory)


def _say(champion: Champion) -> None:
    console.print(
        f"champion is {champion.version}{' (pinned)' if champion.pinned else ''}; before it {champion.previous}"
    )

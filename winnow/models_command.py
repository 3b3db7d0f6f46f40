"""`winnow models`: look at versions, and choose which one is served."""

import getpass
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contract.errors import SetupError, VersionCorrupt
from contract.judgement import read_judgement
from contract.pointer import Champion
from contract.registry import Registry
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
def show(
    version: Version,
    gates: Annotated[bool, typer.Option("--gates", help="Print what the gate said instead, figure by figure.")] = False,
    home: Home = None,
) -> None:
    """Print a version's manifest."""
    registry = _registry(home)
    if not gates:
        console.print_json(registry.manifest(version).model_dump_json())
        return
    judged = read_judgement(registry.path(version))
    if judged is None:
        raise SetupError(f"version {version} is of a release that kept no figures; its manifest has the reasons")
    table = Table("gate", "figure", "bound", "says")
    for gate in judged.gates:
        table.add_row(gate.gate, _figure(gate.figure), _figure(gate.bound), "holds" if gate.holds else gate.verdict)
    console.print(table)


@app.command()
@one_line_errors
def verify(
    version: Annotated[str | None, typer.Argument(help="A version, such as 000042 [default: the champion].")] = None,
    every: Annotated[bool, typer.Option("--all", help="Verify every version that can be promoted.")] = False,
    quarantine: Annotated[bool, typer.Option("--quarantine", help="Move what fails out of reach.")] = False,
    home: Home = None,
) -> None:
    """Compare a version's files with its manifest and replay its probe, as the service does; exit 1 if any fails."""
    from service.proof import open_version

    registry = _registry(home)
    champion = registry.champion()
    chosen = registry.versions() if every else [version or (champion.version if champion else "")]
    failed = 0
    for one in chosen:
        try:
            manifest = registry.verify(one)
            if one not in registry.quarantined():  # what a delta stands on lies beside it, or does not
                open_version(registry.path(one))
        except VersionCorrupt as error:
            failed += 1
            typer.secho(str(error), fg="red", err=True)
            if quarantine:
                registry.quarantine(one)
                console.print(f"version {one} is in quarantine now")
            continue
        console.print(f"version {one}: {len(manifest.files)} files are what the manifest says, and the probe holds")
    if failed:
        raise typer.Exit(1)


@app.command()
@one_line_errors
def history(
    latest: Annotated[int, typer.Option("--latest", min=1, help="Changes to show.")] = 20, home: Home = None
) -> None:
    """List changes of the champion, the latest last: when, who, what, from which version, and why."""
    table = Table("when", "who", "act", "version", "from", "why")
    for change in _registry(home).history()[-latest:]:
        when = datetime.fromtimestamp(change.changed_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(when, change.who, change.act, change.version, change.replaced or "", change.why)
    console.print(table)


@app.command()
@one_line_errors
def promote(version: Version, why: Why = "by hand", home: Home = None) -> None:
    """Serve a version, until the trainer promotes a later one."""
    _registry(home).verify(version)
    _say(_registry(home).promote(version, why, who=_who()))


@app.command()
@one_line_errors
def pin(version: Version, why: Why = "by hand", home: Home = None) -> None:
    """Serve a version and keep it until `unpin`."""
    _registry(home).verify(version)
    _say(_registry(home).pin(version, why, who=_who()))


@app.command()
@one_line_errors
def unpin(why: Why = "by hand", home: Home = None) -> None:
    """Let the trainer promote again."""
    _say(_registry(home).unpin(why, who=_who()))


@app.command()
@one_line_errors
def rollback(
    why: Why = "by hand",
    to: Annotated[str | None, typer.Option("--to", help="The version to go back to.")] = None,
    before: Annotated[
        datetime | None, typer.Option("--before", help="Go back to what was champion before this time, in UTC.")
    ] = None,
    home: Home = None,
) -> None:
    """Go back to the champion before this one, and pin it; once more goes further back."""
    before_ms = None if before is None else int(before.replace(tzinfo=UTC).timestamp() * 1000)
    _say(_registry(home).rollback(why, who=_who(), to=to, before_ms=before_ms))


@app.command()
@one_line_errors
def gates(
    policy: Annotated[
        Path | None, typer.Option("--policy", help="TOML file to read instead of WINNOW_GATE_POLICY.")
    ] = None,
) -> None:
    """Print the bounds of the gate that are in force, a line each, as a policy file that could be read again."""
    from trainer.gate_policy import policy_lines, read_policy
    from trainer.settings import TrainerSettings

    settings = TrainerSettings()
    for line in policy_lines(read_policy(policy or settings.gate_policy, settings.gate_min_events)):
        typer.echo(line)


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user without a name, as in some containers
        return f"?@{socket.gethostname()}"


def _registry(home: Path | None) -> Registry:
    settings = HomeSettings() if home is None else HomeSettings(home=home)
    return Registry(settings.registry_directory)


def _say(champion: Champion) -> None:
    pinned = " (pinned)" if champion.pinned else ""
    console.print(f"champion is {champion.version}{pinned}, in place of {champion.replaced}")

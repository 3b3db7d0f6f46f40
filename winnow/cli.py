"""The `winnow` command. Heavy parts are imported by the commands that need them: serving needs no torch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from contract.errors import SetupError
from contract.settings import LogSettings, TelemetrySettings
from contract.telemetry import configure_logs
from winnow import (
    bench_command,
    child,
    dead_letters_command,
    forget_command,
    keys_command,
    labels_command,
    models_command,
    report_command,
    secrets_command,
)
from winnow.complaints import one_line_errors
from winnow.embedded_log import EmbeddedLog

app = typer.Typer(
    help="Winnow: online denoising of short-video watch logs.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(models_command.app, name="models")
app.add_typer(keys_command.app, name="keys")
app.add_typer(secrets_command.app, name="secrets")
app.add_typer(dead_letters_command.app, name="dead-letters")
app.command()(forget_command.forget)
app.command()(report_command.report)
app.add_typer(labels_command.app, name="labels")
app.add_typer(bench_command.app, name="bench")

console = Console()
_Settings = TypeVar("_Settings", bound=LogSettings)

Home = Annotated[Path | None, typer.Option(help="Directory of all runtime state [default: .winnow].")]
RedisUrl = Annotated[str | None, typer.Option(help="Event log; without it an embedded server is started.")]
Features = Annotated[Path | None, typer.Option(help="KuaiRand video features file.")]
LeaveWithParent = Annotated[bool, typer.Option(hidden=True, help="Stop when standard input closes.")]
TARGET_HELP = (
    "bce, negative, positive, random, watch, tce, rce, nnpu, idl, idl-aligned or evidence [default: evidence]."
)
META_HELP = "none, ig, ig-local, l2rw, ig-sequential or coin-flip [default: none]."
BACKBONE_HELP = "gmf, neumf, lightgcn, ngcf, pinsage or sasrec [default: gmf]."
DATA_HELP = "A KuaiRand log (log_standard_*.csv, plain or .gz)."


def given(**options: Any) -> dict[str, Any]:
    """Return the options that were given: those win over the environment."""
    return {name: value for name, value in options.items() if value is not None}


@app.command()
@one_line_errors
def demo(
    data: Annotated[Path | None, typer.Option(help=DATA_HELP + " Without it the simulator plays.")] = None,
    features: Features = None,
    home: Annotated[Path | None, typer.Option(help="Where to keep state [default: a temporary directory].")] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Play only this many events.")] = None,
    rate: Annotated[float | None, typer.Option(min=1, help="Most events a second.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulator.")] = 1,
    keep: Annotated[bool, typer.Option(help="Leave everything running afterwards.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
) -> None:
    """Play a watch log through the whole loop on this machine, and report."""
    from winnow.demo import demo as run_demo
    from winnow.demo_report import as_figures, print_report
    from winnow.up import interrupt_on_sigterm

    interrupt_on_sigterm()
    configure_logs(TelemetrySettings(log_level="error"))
    report = run_demo(console, partial(print_report, console), data, features, home, events, rate, seed, keep)
    if json:
        json.write_bytes(orjson.dumps(as_figures(report), option=orjson.OPT_INDENT_2))
    if report.played.failed_requests or report.stored_twice < 0:
        raise typer.Exit(1)


@app.command()
@one_line_errors
def up(
    home: Home = None,
    redis_url: RedisUrl = None,
    port: Annotated[int | None, typer.Option(help="Port of the service; 0 takes a free one [default: 8787].")] = None,
) -> None:
    """Run everything on this machine: event log, trainer and service, until SIGTERM or Ctrl-C."""
    from service.settings import ServiceSettings
    from winnow.up import Loop, interrupt_on_sigterm, stay_up

    interrupt_on_sigterm()
    settings = ServiceSettings(**given(home=home, redis_url=redis_url, port=port))
    configure_logs(settings)
    with suppress(KeyboardInterrupt), Loop(settings.home, settings.redis_url, settings.port) as loop:
        api = f"API: {loop.url}/openapi.json; console: {loop.console_url}"
        console.print(f"Winnow is up at {loop.url} ({api}); state is in {escape(str(loop.home))}")
        stay_up(loop)


@app.command()
@one_line_errors
def serve(
    home: Home = None,
    redis_url: RedisUrl = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [default: 8787].")] = None,
    announce: Annotated[Path | None, typer.Option(help="File that says url and pid once it answers.")] = None,
    leave_with_parent: LeaveWithParent = False,
) -> None:
    """Run the service alone."""
    if leave_with_parent:
        child.leave_with_parent()
    from service.app import serve as run_service
    from service.settings import ServiceSettings

    with _event_log(ServiceSettings(**given(home=home, redis_url=redis_url, host=host, port=port))) as settings:
        run_service(settings, announce)


@app.command()
@one_line_errors
def train(
    home: Home = None,
    redis_url: RedisUrl = None,
    target: Annotated[str | None, typer.Option(help=TARGET_HELP)] = None,
    meta: Annotated[str | None, typer.Option(help=META_HELP)] = None,
    backbone: Annotated[str | None, typer.Option(help=BACKBONE_HELP)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    leave_with_parent: LeaveWithParent = False,
) -> None:
    """Run the trainer alone."""
    if leave_with_parent:
        child.leave_with_parent()
    from trainer.app import run
    from trainer.settings import TrainerSettings

    chosen = given(home=home, redis_url=redis_url, target=target, meta=meta, backbone=backbone, device=device)
    with _event_log(TrainerSettings(**chosen)) as settings:
        raise typer.Exit(run(settings))


@app.command()
@one_line_errors
def replay(
    log: Annotated[Path, typer.Argument(help=DATA_HELP)],
    url: Annotated[str, typer.Option(help="A running service.")] = "http://127.0.0.1:8787",
    features: Features = None,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Most events a second; without it as fast as it goes.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="WINNOW_API_KEY", help="Key with the role feedback, where keys are on.")
    ] = None,
) -> None:
    """Play a watch log against a running service."""
    from trainer.datasets import read_kuairand
    from winnow.client import Client
    from winnow.player import play

    read = read_kuairand([log], features)
    with Client(url, api_key) as client, Progress(console=console) as progress:
        task = progress.add_task("events", total=None)
        played = play(
            (block.events for block in read), client, rate, lambda so_far: progress.update(task, completed=so_far.sent)
        )
    console.print(
        f"{played.sent:,} sent, {played.acknowledged:,} acknowledged in {played.seconds:.1f} s, "
        f"{played.failed_requests} failed requests, {played.retries} retries"
    )
    if played.failed_requests:
        raise typer.Exit(1)


@app.command()
@one_line_errors
def simulate(
    out: Annotated[Path, typer.Argument(help="File to write, .csv or .csv.gz, in the KuaiRand columns plus truth.")],
    events: Annotated[int, typer.Option(min=1, help="Exposures to simulate.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed; one seed gives one log.")] = 1,
    users: Annotated[int, typer.Option(min=1)] = 2_000,
    items: Annotated[int, typer.Option(min=10)] = 1_000,
) -> None:
    """Write a simulated watch log with known truth."""
    from trainer.datasets import write_csv
    from trainer.simulated_world import SimulatorConfig
    from trainer.simulator import Simulator

    simulator = Simulator(SimulatorConfig(users=users, items=items), seed)
    console.print(f"{write_csv(out, simulator.blocks(events, 4_096)):,} rows written to {out}")


@app.command()
@one_line_errors
def evaluate(
    logs: Annotated[list[Path], typer.Argument(help=DATA_HELP + " Several are played one after another.")],
    measure_from: Annotated[
        str | None, typer.Option(help="Measure from this day on, e.g. 2022-04-28 (UTC+8, as the log).")
    ] = None,
    features: Features = None,
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
    target: Annotated[str | None, typer.Option(help=TARGET_HELP)] = None,
    meta: Annotated[str | None, typer.Option(help=META_HELP)] = None,
    backbone: Annotated[str | None, typer.Option(help=BACKBONE_HELP)] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    caps: Annotated[bool, typer.Option(help="Learn of each user no more than the live trainer would.")] = True,
) -> None:
    """Replay logs offline through the same learner, predict then learn, and measure."""
    from trainer.evaluation import evaluate_logs
    from trainer.settings import CapSettings, LearnerSettings

    settings = LearnerSettings(**given(target=target, meta=meta, backbone=backbone, seed=seed, device=device))
    limits = CapSettings() if caps else None
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("events", total=None)
        result = evaluate_logs(
            logs, features, settings, _day_ms(measure_from), lambda n: progress.advance(task, n), limits
        )
    table = Table(show_header=False, box=None)
    for name, value in result.figures.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    console.print(table)
    if result.complaints:
        console.print("rows: " + ", ".join(f"{what}: {count:,}" for what, count in result.complaints.items()))
    if json:
        json.write_bytes(orjson.dumps(result.figures, option=orjson.OPT_INDENT_2))


@app.command()
@one_line_errors
def doctor(home: Home = None, redis_url: RedisUrl = None) -> None:
    """Say what is wrong with this machine or configuration, and how to mend it."""
    from service.settings import ServiceSettings
    from winnow.doctor import Health, examine

    findings = examine(ServiceSettings(**given(home=home, redis_url=redis_url)))
    marks = {Health.OK: "[green]  ok[/]", Health.WARN: "[yellow]warn[/]", Health.FAIL: "[red]fail[/]"}
    for finding in findings:
        said = escape(finding.what + (f" -> {finding.remedy}" if finding.remedy else ""))
        console.print(f"{marks[finding.health]}  {said}", soft_wrap=True)
    if any(finding.health is Health.FAIL for finding in findings):
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Say which release this is."""
    from importlib.metadata import version as release

    console.print(f"winnow {release('winnow-denoise')}, Python {sys.version.split()[0]}")


@contextmanager
def _event_log(settings: _Settings) -> Iterator[_Settings]:
    """Yield settings with an event log: the one named, or this home's embedded server, shared by its processes."""
    if settings.redis_url:
        yield settings
        return
    with EmbeddedLog(settings.home) as log:
        yield settings.model_copy(update={"redis_url": log.url})


def _day_ms(day: str | None) -> int:
    if day is None:
        return 0
    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            return int(datetime.strptime(day, form).replace(tzinfo=timezone(timedelta(hours=8))).timestamp() * 1000)
        except ValueError:
            continue
    raise SetupError(f"--measure-from {day!r} is not a day; write it as 2022-04-28")


if __name__ == "__main__":
    app()

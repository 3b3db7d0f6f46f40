"""`winnow bench chaos`: run the campaign, one JSON line a scenario, and write the page."""

import datetime
import shlex
from pathlib import Path
from typing import Annotated

import typer

WORK = Path(".winnow/bench/chaos")
PAGE = Path("docs/benchmarks/faults.md")


def chaos(
    long: Annotated[bool, typer.Option("--long", help="The counts that claims need: hours, not minutes.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Scenarios to run, such as trainer-killed; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all that is drawn: moments, lengths, events.")] = 1,
    names: Annotated[bool, typer.Option("--list", help="Say which scenarios there are, and run none.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the lines here, as one JSON array.")] = None,
    report: Annotated[
        Path | None, typer.Option(help=f"Page to write [default: {PAGE}; with --only in --work].")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Fail on a missed bar of speed or quality, too.")] = False,
    resume: Annotated[
        Path | None, typer.Option(help="Standard output of a run that was cut or broke: what held is not run again.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Where scenarios run; what did not hold is kept there.")] = WORK,
) -> None:
    """Break the loop by real means and compare a ledger of acknowledgements with what is on disk."""
    import orjson

    from benchmarks.chaos.campaign import Line, chosen, held_before, load, run_all
    from benchmarks.chaos.report.faults import render
    from benchmarks.chaos.scenario import Effort
    from benchmarks.serving.machine import about
    from contract.settings import TelemetrySettings
    from contract.telemetry import configure_logs

    configure_logs(TelemetrySettings(log_level="error"))  # of trainers that a scenario runs in this process
    scenarios = load()
    if names:
        for one in scenarios.values():
            typer.echo(f"{one.name}: {one.fault}")
        return
    lines: list[Line] = []
    effort = Effort(long, seed)
    held = held_before(resume, effort) if resume is not None else {}
    for line in run_all(chosen(scenarios, only or [], long), work.resolve(), effort, held):
        lines.append(line)
        typer.echo(orjson.dumps(line.as_dict()).decode())
    if json is not None:
        json.write_bytes(orjson.dumps([line.as_dict() for line in lines], option=orjson.OPT_INDENT_2))
    words = ["winnow", "bench", "chaos", *(["--long"] if long else []), *(["--seed", str(seed)] if seed != 1 else [])]
    words += [part for name in only or [] for part in ("--only", name)]
    words += ["--resume", resume.name] if resume is not None else []
    page = report or (work / "faults.md" if only else PAGE)
    page.parent.mkdir(parents=True, exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date()
    page.write_text(
        render(lines, about(), shlex.join(words), today, [name for name in scenarios if only and name not in only])
    )
    failed = [line for line in lines if line.holds is False or (strict and line.missed)]
    for line in failed:  # once more at the end, where whoever reads a long log looks first
        typer.echo(f"did not hold: {line.scenario}: {line.why or line.missed}", err=True)
    if failed:
        raise typer.Exit(1)

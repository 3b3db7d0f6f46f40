"""`winnow bench denoise`: plan, measure what is missing, merge, render. Heavy parts load when it runs.

Wire it as a command of a Typer application, or run `python -m benchmarks.denoising`.
"""

import os
import platform
import shlex
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any

import typer

from contract.errors import SetupError

WORK = Path(".winnow/bench/denoising")
REPORT = Path("docs/benchmarks/denoising.md")
DATA = Path("../shared/data")
SEEDS = 5
REPORT_FROM = "2022-04-28"


def denoise(
    only: Annotated[str | None, typer.Option(help="Protocols to run: stream,split,dial,recovery.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=999, help="Seeds of each cell.")] = SEEDS,
    jobs: Annotated[int | None, typer.Option(min=1, help="Cells at once; by default the number of cores.")] = None,
    quick: Annotated[bool, typer.Option(help="A tiny grid in seconds; its numbers claim nothing.")] = False,
    tune: Annotated[bool, typer.Option(help="Measure the tuning windows, never the reported ones.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of every learner, e.g. dim=32; may be repeated.")
    ] = None,
    kuairand: Annotated[Path, typer.Option(help="Directory of the KuaiRand log, or one log.")] = DATA / "kuairand",
    movielens: Annotated[Path, typer.Option(help="Directory of train.rating and valid.rating.")] = DATA / "ml-1m",
    report_from: Annotated[str, typer.Option(help="First day of the log that is reported (UTC+8).")] = REPORT_FROM,
    work: Annotated[Path, typer.Option(help="Where finished cells are kept; a later run goes on from them.")] = WORK,
    report: Annotated[
        Path | None, typer.Option(help=f"Page to write; by default {REPORT}, or beside the results if quick or tuning.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="Use cells of this code version; by default a digest of the sources.")
    ] = None,
) -> None:
    """Measure every denoising method against controls, in parallel, resumable, and render the page."""
    from rich.console import Console

    from benchmarks.denoising.bench import Options, bench

    options = Options(
        protocols=_protocols(only),
        seeds=seeds,
        jobs=jobs or os.cpu_count() or 1,
        quick=quick,
        tuning=tune,
        overrides=tuple(_pair(text) for text in set_ or []),
        kuairand=kuairand,
        movielens=movielens,
        report_from_ms=_day_ms(report_from),
        work=work,
        report=report or (work / REPORT.name if quick or tune else REPORT),
        code=code,
        command=_command(seeds, quick, tune, set_ or [], report_from),
        machine=machine(),
    )
    if bench(options, Console()):
        raise typer.Exit(1)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    import numpy as np
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _protocols(only: str | None) -> tuple[str, ...]:
    known = ("stream", "split", "dial", "recovery")
    chosen = tuple(name.strip() for name in only.split(",")) if only else known
    if unknown := [name for name in chosen if name not in known]:
        raise SetupError(f"--only {', '.join(unknown)}: no such protocol; there are {', '.join(known)}")
    return chosen


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SetupError(f"--set {text!r}: write it as name=value")
    return name, value


def _day_ms(day: str) -> int:
    try:
        at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone(timedelta(hours=8)))
    except ValueError:
        raise SetupError(f"--report-from {day!r} is not a day; write it as {REPORT_FROM}") from None
    return int(at.timestamp() * 1000)


def _command(seeds: int, quick: bool, tune: bool, set_: list[str], report_from: str) -> str:
    """Return the command of one protocol, `{only}` in its place."""
    parts = [
        "winnow bench denoise --only {only}",
        f"--seeds {seeds}",
        *(["--quick"] if quick else []),
        *(["--tune"] if tune else []),
        *(f"--set {shlex.quote(text)}" for text in set_),
        *([f"--report-from {report_from}"] if report_from != REPORT_FROM else []),
    ]
    return " ".join(parts)

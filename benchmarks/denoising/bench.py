"""The bench as a whole: what is to be measured, what already is, and the page of it all."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.denoising.code_version import code_version
from benchmarks.denoising.finished import FinishedCells, write_parquet
from benchmarks.denoising.grid import Cell, Plan, of_protocols, plan
from benchmarks.denoising.method import Overrides
from benchmarks.denoising.parallel import Outcome, measure_cells
from benchmarks.denoising.report.page import write_page
from benchmarks.denoising.results import read_results
from benchmarks.denoising.sources import Sources
from contract.errors import DataError

Keyed = list[tuple[Cell, str]]


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    protocols: tuple[str, ...]
    seeds: int
    jobs: int
    quick: bool
    tuning: bool
    overrides: Overrides
    kuairand: Path
    movielens: Path
    report_from_ms: int
    work: Path
    report: Path
    code: str | None
    command: str
    machine: dict[str, Any]

    @property
    def results(self) -> Path:
        """The Parquet of results; a smoke run or a tuning run never replaces that of the report."""
        return self.work / f"results{'-quick' * self.quick}{'-tuning' * self.tuning}.parquet"

    def sources(self) -> Sources:
        """Return the data sets."""
        return Sources(self.kuairand.resolve(), self.movielens.resolve(), self.report_from_ms, self.quick)


def bench(options: Options, console: Console) -> list[Outcome]:
    """Run what is missing of the protocols, merge all that is finished of the whole grid, render. Returns failures.

    Raises DataError before anything runs if a protocol's data set is not there.
    """
    whole = plan(options.seeds, options.quick, options.tuning, options.overrides)
    for name, reason in whole.refused.items():
        console.print(f"left out: {escape(name)} ({escape(reason)})")
    code = options.code or code_version()
    keyed = _keyed(whole, options, code)
    finished = FinishedCells(options.work / "cells")
    asked = set(of_protocols([cell for cell, _ in keyed], options.protocols))
    missing = [(cell, key) for cell, key in keyed if cell in asked and not finished.has(key)]
    console.print(f"{len(asked):,} cells, {len(asked) - len(missing):,} already finished; {options.jobs} at once")
    failures = _measured(missing, finished.directory, options, console) if missing else []
    about = {
        **{name: getattr(options, name) for name in ("seeds", "jobs", "quick", "tuning", "command", "machine")},
        "code": code,
        "planned": len(whole.cells),
        "cells": sum(finished.has(key) for _, key in keyed),
        "refused": whole.refused,
        "failed": {_named(outcome.cell): outcome.complaint for outcome in failures},
    }
    write_parquet(options.results, keyed, finished, about)
    write_page(read_results(options.results), options.report)
    console.print(f"{options.results} and {options.report} written")
    return failures


def _keyed(whole: Plan, options: Options, code: str) -> Keyed:
    """Return the cells with their keys; those of protocols that were not asked for only if their data set is there."""
    sources, data = options.sources(), {}
    for protocol in dict.fromkeys(cell.condition.protocol for cell in whole.cells):
        try:
            data[protocol] = sources.fingerprint(protocol)
        except DataError:
            if protocol in options.protocols:
                raise
    return [
        (cell, cell.key(code, data[cell.condition.protocol])) for cell in whole.cells if cell.condition.protocol in data
    ]


def _measured(missing: Keyed, directory: Path, options: Options, console: Console) -> list[Outcome]:
    bar = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *bar, console=console) as progress:
        task = progress.add_task("cells", total=len(missing))

        def ended(outcome: Outcome) -> None:
            if outcome.complaint:
                progress.console.print(f"failed: {escape(_named(outcome.cell))}: {escape(outcome.complaint)}")
            progress.advance(task)

        failures = measure_cells(missing, directory, options.sources(), options.jobs, ended)
    if failures:
        log = options.work / "failures.txt"
        log.write_text("\n".join(f"{asdict(outcome.cell)}\n{outcome.trace}" for outcome in failures))
        console.print(f"{len(failures)} cells failed; their traces are in {log}")
    return failures


def _named(cell: Cell) -> str:
    return f"{cell.condition.protocol}, {cell.condition.title}, {cell.method.name}, seed {cell.seed}"

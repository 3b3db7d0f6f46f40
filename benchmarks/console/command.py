"""`winnow bench console`: what the console costs, how it wears, how soon it is there. Heavy parts load late."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.serving.command import Quick, Report, Seconds, Work
from benchmarks.serving.written import command_of, write_page

WORK = Path(".winnow/bench/console")
_SCORES_A_SECOND = 300.0


class Part(StrEnum):
    """What can be measured."""

    VISIT = "visit"
    BESIDE = "beside"
    COUNTING = "counting"
    FIRST = "first"


def console(
    quick: Quick = False,
    only: Annotated[
        list[Part] | None, typer.Option(help="Measure only this part, and keep the others from before; repeatable.")
    ] = None,
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 1_000.0,
    seconds: Annotated[float | None, typer.Option(min=1, help="Length of the long visit.")] = None,
    block: Seconds = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of scores beside the console; claims need 8.")
    ] = None,
    work: Work = WORK,
    report: Report = None,
) -> None:
    """Measure a long visit to the console, scores beside it, what metrics cost, and the time to a first page."""
    command = command_of(console, locals())
    from benchmarks.console.beside import Beside, beside
    from benchmarks.console.busy import busy_loop
    from benchmarks.console.counting import Counting, counting, switchable_service
    from benchmarks.console.figures import ConsoleFigures, FirstPages, keep, kept, verdicts
    from benchmarks.console.first_page import first_page
    from benchmarks.console.page import render
    from benchmarks.console.viewer import browser, driver
    from benchmarks.console.visit import Visit, visit
    from benchmarks.serving.machine import about
    from benchmarks.serving.versions import Versions
    from benchmarks.serving.world import World
    from benchmarks.serving.wrk import wrk_binary

    wrk_binary()
    parts = set(only or Part)
    seconds = seconds or (20.0 if quick else 300.0)
    block = block or (2.0 if quick else 15.0)
    rounds = rounds or (2 if quick else 8)
    users, items = (2_000, 2_000) if quick else (100_000, 20_000)
    work.mkdir(parents=True, exist_ok=True)
    with driver() as driving:
        if Part.FIRST in parts:
            with browser(driving) as running:
                keep(FirstPages(tuple(first_page(running, work / "demo") for _ in range(1 if quick else 5))), work)
        if Part.VISIT in parts:
            with busy_loop(work / "visit", rate, seconds, seed=1) as busy, browser(driving) as running:
                keep(visit(running, busy, seconds), work)
        if Part.BESIDE in parts:
            needed_s = 4 * (1 + rounds) * (block + 10)
            with busy_loop(work / "beside", rate, needed_s, seed=2) as busy:
                keep(beside(busy, driving, work, _SCORES_A_SECOND, rounds, block), work)
    if Part.COUNTING in parts:
        world = World.of(users, items)
        Versions(_emptied(work / "counting"), world, dim=64, backbone="gmf").whole(1)
        with switchable_service(work / "counting") as service:
            keep(counting(service, world, work, 2 if quick else 12, 1.0 if quick else 3.0), work)
    found = kept(Visit, work), kept(Beside, work), kept(Counting, work), kept(FirstPages, work)
    figures = ConsoleFigures(about(), command, quick, rate, *found)
    write_page("console", work, report, quick, asdict(figures), lambda at: render(figures, at), verdicts(figures))


def _emptied(home: Path) -> Path:
    import shutil

    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    return home

"""The page of `winnow bench console`."""

from pathlib import Path

from benchmarks.console.beside import CLOSED, Beside
from benchmarks.console.counting import OFF, ON, SCRAPED, Counting
from benchmarks.console.figures import ConsoleFigures, FirstPages, verdicts
from benchmarks.console.rounds import with_interval
from benchmarks.console.visit import KEPT_ENTRIES, PAGE_SHARE, PAGES, STAY_SHARE, Visit
from benchmarks.denoising.report.markdown import table
from benchmarks.serving.report.plots import lines
from benchmarks.serving.report.words import latency_table, opening, verdict_table
from benchmarks.serving.series import Series

_NOT = "Not measured in this run."


def render(figures: ConsoleFigures, directory: Path) -> str:
    """Return the page in Markdown; its plot goes to `directory`."""
    sections = [
        opening("Console", figures.machine, figures.command, figures.quick),
        verdict_table(verdicts(figures), issue=6),
        "Ratios are medians of rounds with their 95 % bootstrap interval. **Open** says that the median meets the bar "
        "and the interval does not.",
        "## A long visit",
        *(_visit(figures.visit, figures.rate, directory) if figures.visit else [_NOT]),
        "## Scores while the console is open",
        *(_beside(figures.beside, figures.rate) if figures.beside else [_NOT]),
        "## What metrics cost",
        *(_counting(figures.counting) if figures.counting else [_NOT]),
        "## From `winnow demo --keep` to a filled first page",
        *(_first(figures.first) if figures.first else [_NOT]),
    ]
    return "\n\n".join(sections) + "\n"


def _visit(visit: Visit, rate: float, directory: Path) -> list[str]:
    minutes = [one.at_s / 60 for one in visit.readings]
    drawn = lines(
        directory / "console-memory.svg",
        {
            "JavaScript heap": (minutes, [one.heap_mb for one in visit.readings]),
            "the page's process": (minutes, [one.renderer_mb for one in visit.readings]),
        },
        "minutes",
        "MB",
    )
    ends = visit.readings[0], visit.second_half[0], visit.readings[-1]
    rows = [
        [
            what,
            *(f"{getattr(one, field):,.{digits}f}" for one in ends),
            f"{visit.slope_a_minute(field):+.{digits + 1}f}",
        ]
        for what, field, digits in (
            ("JavaScript heap in use, MB", "heap_mb", 2),
            ("own memory of the page's process, MB", "renderer_mb", 1),
            ("DOM nodes", "nodes", 0),
            ("event listeners", "listeners", 0),
        )
    ]
    return [
        f"`winnow up`, the simulator's watches played against it at {rate:,.0f} events/s in batches of 256, and a "
        f"headless Chromium with the console of the admin port. In {visit.seconds:.0f} s it goes {visit.rounds} "
        f"times round {', '.join(PAGES)}, {visit.seconds * PAGE_SHARE:.1f} s each, and stays on Loop for "
        f"{visit.seconds * STAY_SHARE:.0f} s after each. Memory is read on Loop after a forced garbage collection. "
        f"Events a second that the page showed: {Series(visit.shown).text(0)}.",
        table(["", "first", "middle", "last", "a minute in the second half"], rows),
        f"The page keeps {KEPT_ENTRIES} entries of a kind, a quarter of an hour, so its heap may grow until then. "
        "The process also holds the answers that a browser keeps for whoever drives it.",
        f"![Memory of the page]({drawn})",
        *(f"* {each}" for each in [*visit.complaints, *visit.failures][:20]),
    ]


def _beside(beside: Beside, rate: float) -> list[str]:
    rows = [
        [name, with_interval(Series(tuple(one["p50_ms"] for one in blocks)), 2),
         with_interval(Series(tuple(one["p99_ms"] for one in blocks)), 2),
         "" if name == CLOSED else with_interval(beside.ratio(name)), f"{beside.pooled_p99_ms[name]:.2f}"]
        for name, blocks in beside.blocks.items()
    ]  # fmt: skip
    count = len(next(iter(beside.blocks.values())))
    every = {f"{name} {number}": one for name, blocks in beside.blocks.items() for number, one in enumerate(blocks, 1)}
    return [
        f"`winnow up` while {rate:,.0f} events/s come and versions change; {beside.rate:,.0f} scores/s of 100 "
        f"candidates by a fixed schedule, {count} rounds of blocks in turn, {beside.errors} errors. Latency in ms from "
        "when a request was due. *Stream read*: a client reads what the console reads and draws nothing, as if the "
        "browser had a machine of its own. *Browser that yields*: Chromium on the same processors at the lowest "
        "priority (nice 19). *Browser*: at the same priority as the service, the trainer and the log, with which it "
        "shares the processors.",
        table(["console", "p50", "p99", "p99 over that of closed, by round", "p99 of all blocks"], rows),
        "Every block:",
        latency_table(every),
    ]  # fmt: skip


def _counting(counting: Counting) -> list[str]:
    rows = [
        [f"{size}", *(series[name].text(0) for name in (OFF, ON, SCRAPED)),
         *(with_interval(counting.ratio(size, name)) for name in (ON, SCRAPED)), f"{counting.share(size):.2%}"]
        for size, series in counting.rates.items()
    ]  # fmt: skip
    rounds = len(next(iter(counting.rates.values()))[OFF].values)
    return [
        "One worker, wrk with 16 connections. One process, whose counters and histograms are replaced by nothing and "
        "brought back by signals between blocks: two processes differ by more than what is looked for. Two looks at "
        "the clock a request stay. Requests a second of the service's processor time, which a closed loop keeps full, "
        f"and the ratio to those without counting, by round; {rounds} rounds.",
        table(["candidates", "off", "on", "on and scraped", "on / off", "scraped / off", "by its time"], rows),
        f"By its time: counting one score takes {counting.counting_us:.2f} microseconds of processor time, here "
        f"as a share of a request's. A scrape takes {counting.scrape_ms:.1f} ms of it, {counting.scrape_share:.2%} "
        "of a processor when it comes each second; Prometheus asks every 15 s by default.",
    ]


def _first(first: FirstPages) -> list[str]:
    names = ("printed_s", "loaded_s", "events_s", "auc_s", "charts_s", "version_s")
    said = ("URL printed", "page loaded", "events/s shown", "AUC shown", "every chart has 2 points", "a version shown")
    rows = [
        [name, Series(tuple(getattr(one, field) for one in first.runs)).text(1)]
        for name, field in zip(said, names, strict=True)
    ]
    return [
        f"{len(first.runs)} starts of the command in fresh homes, with the virtual environment set up and a browser "
        "that runs already. Seconds from the start of the process. Filled is when events a second, an AUC and two "
        "points of each chart are there.",
        table(["", "seconds"], [*rows, ["**filled**", first.filled_s.text(1)]]),
    ]

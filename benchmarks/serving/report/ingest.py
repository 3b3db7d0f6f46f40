"""The page of `winnow bench ingest`."""

from dataclasses import dataclass

from benchmarks.denoising.report.markdown import table
from benchmarks.serving.ingest import BATCH, Learned
from benchmarks.serving.report.words import Verdict, opening, verdict_table
from benchmarks.serving.series import Series

BATCH_BAR = 250_000.0
SINGLE_BAR = 10_000.0
LEARN_BAR = 150_000.0


@dataclass(frozen=True)
class IngestFigures:
    """What was measured."""

    machine: str
    command: str
    quick: bool
    batched: Series  # events a second, one worker
    single: Series  # events a second, two workers
    learned: Learned


def verdicts(figures: IngestFigures) -> list[Verdict]:
    """Return the bars and what was seen."""
    return [
        _at_least(f"batches of {BATCH}, one worker", BATCH_BAR, figures.batched),
        _at_least("single events, two workers", SINGLE_BAR, figures.single),
        _at_least("from the log to learned, one thread", LEARN_BAR, figures.learned.wall),
    ]


def render(figures: IngestFigures) -> str:
    """Return the page in Markdown."""
    learned = figures.learned
    sections = [
        opening("Ingest", figures.machine, figures.command, figures.quick),
        verdict_table(verdicts(figures)),
        "## From HTTP to disk",
        "`POST /v1/feedback` under wrk with 32 connections a worker; a 202 comes after the log, a Valkey with "
        "`appendfsync always` on the same machine, has brought the events to disk. Every event has id, user, item, "
        "time, watch, duration, surface, author, one tag, and is validated whole.",
        table(
            ["", "events/s"],
            [
                [f"batches of {BATCH}, one worker", figures.batched.text(0)],
                ["single events, two workers on one log", figures.single.text(0)],
            ],
        ),
        "## From the log to learned",
        f"A new trainer, default settings, one thread, drains {learned.events:,} events that came over HTTP in batches "
        f"of {BATCH}: read, decode, deduplicate, label, learn, account, label log, and one checkpoint at the end.",
        table(["", "events/s"], [["of wall time", learned.wall.text(0)], ["of CPU time", learned.cpu.text(0)]]),
    ]
    return "\n\n".join(sections) + "\n"


def _at_least(what: str, bar: float, seen: Series) -> Verdict:
    return f"{what}: {bar:,.0f} events/s", seen.median >= bar, seen.text(0)

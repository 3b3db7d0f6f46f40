"""The page of `winnow bench grow`: what tables of more rows cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.denoising.report.markdown import table
from benchmarks.serving.growth import DELTAS, Grown, series
from benchmarks.serving.report.plots import lines
from benchmarks.serving.report.words import Verdict, opening, verdict_table

DELTA_BAR_S = 2.0
MEMORY_BAR = 1.1
ROWS_BAR = 10_000_000


@dataclass(frozen=True)
class GrowthFigures:
    """What was measured."""

    machine: str
    command: str
    quick: bool
    dim: int
    grown: Sequence[Grown]  # by size


def verdicts(figures: GrowthFigures) -> list[Verdict]:
    """Return the bars and what was seen."""
    last = figures.grown[-1]
    size = f"{last.users:,} x {last.items:,} x {figures.dim}"
    enough = last.users >= ROWS_BAR
    said = f"{last.delta_s:.2f} s, of which {last.delta_publish_s:.2f} s to publish; {last.delta_rows:,} rows"
    return [
        (
            f"{size}: a delta of 10 k rows published and served in {DELTA_BAR_S:g} s",
            last.delta_s <= DELTA_BAR_S if enough else None,
            said,
        ),
        (
            f"{size}: memory of the service after {DELTAS + 1} deltas at most {MEMORY_BAR:g} x before",
            last.memory_ratio <= MEMORY_BAR if enough else None,
            f"{last.memory_ratio:.3f}",
        ),
    ]


def render(figures: GrowthFigures, directory: Path) -> str:
    """Return the page in Markdown; its plot goes to `directory`."""
    drawn = {name: (list(costs), list(costs.values())) for name, costs in series(list(figures.grown)).items()}
    plot = lines(directory / "growth.svg", drawn, "rows of users", "seconds", logarithmic=True)
    rows = [
        [
            f"{one.users:,} x {one.items:,}",
            f"{one.step_us_per_event:.1f}",
            f"{one.whole_s:.2f}",
            f"{one.whole_mb:,.0f}",
            f"{one.delta_rows:,}",
            f"{one.delta_s:.3f}",
            f"{one.delta_publish_s:.3f}",
            f"{one.delta_mb:.1f}",
            f"{one.memory_mb:,.0f}",
            f"{one.memory_ratio:.3f}",
            f"{one.score_p50_ms:.2f}",
        ]
        for one in figures.grown
    ]
    headers = [
        "users x items", "learn, us an event", "whole, s", "MB", "rows of a delta", "delta, s", "of which to publish",
        "MB", "memory, MB", "after the deltas", "100 candidates, p50 ms",
    ]  # fmt: skip
    sections = [
        opening("As tables grow", figures.machine, figures.command, figures.quick),
        verdict_table(verdicts(figures)),
        "## Costs",
        f"GMF of {figures.dim}, watches of uniform random known ids: no real traffic misses the caches as often. "
        "Learning is `Learner.step` on one thread. A whole version and a delta count from the start of publishing until"
        " the service names them in an answer, its look at the champion file every 0.1 s included. Memory is the PSS "
        "of the service, mapped tables included, on the whole version; then as a factor after the deltas.",
        table(headers, rows),
        f"![Costs over rows]({plot})",
    ]
    return "\n\n".join(sections) + "\n"

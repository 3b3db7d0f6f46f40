"""The page of `winnow bench swap`: latency while versions change, memory after many, and the cost of size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.denoising.report.markdown import table
from benchmarks.serving.report.plots import lines
from benchmarks.serving.report.words import Verdict, latency_table, megabytes, opening, verdict_table
from benchmarks.serving.series import Series
from benchmarks.serving.swap import Calm, Memory

P99_BAR = 1.2
MEMORY_BAR = 1.05
SWAPS_BAR = 500


@dataclass(frozen=True)
class SwapFigures:
    """What was measured."""

    machine: str
    command: str
    quick: bool
    model: str
    every_s: float
    calm: Mapping[str, Sequence[Calm]]  # by kind of version, a round each
    memory: Sequence[Memory]
    growth: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # seconds by what is done, then by rows


def verdicts(figures: SwapFigures) -> list[Verdict]:
    """Return the bars and what was seen."""
    ratios = {kind: Series(tuple(one.p99_ratio for one in rounds)) for kind, rounds in figures.calm.items()}
    every = [one for rounds in figures.calm.values() for one in rounds]
    errors, unnamed, swaps = (sum(getattr(one, name) for one in every) for name in ("errors", "unnamed", "swaps"))
    first, last = figures.memory[0], figures.memory[-1]
    growth = last.pss / first.pss, last.uss / first.uss
    enough = last.swaps >= SWAPS_BAR
    return [
        *(
            (
                f"p99 with a swap of {kind} versions each {figures.every_s:g} s at most {P99_BAR} x steady",
                _calm(ratio),
                ratio.text() + ("; the machine was not quiet" if _calm(ratio) is None else ""),
            )
            for kind, ratio in ratios.items()
        ),
        (
            "no error, every answer names a version",
            not errors + unnamed,
            f"{errors} errors, {unnamed} unnamed, {swaps} swaps",
        ),
        (
            f"memory after {SWAPS_BAR} swaps at most {MEMORY_BAR:.2f} x that after {first.swaps}",
            max(growth) <= MEMORY_BAR if enough else None,
            f"PSS {growth[0]:.3f}, USS {growth[1]:.3f} after {last.swaps}",
        ),
    ]


def _calm(ratio: Series) -> bool | None:
    """Return whether swaps cost no more than the bar; None where the rounds differ by more than it for no reason.

    Swaps make nothing faster: a ratio under 1 / bar says that the steady run was disturbed, and then a good median is
    luck. A bad one still counts.
    """
    if ratio.median > P99_BAR:
        return False
    disturbed = min(ratio.values) < 1 / P99_BAR and (max(ratio.values) > P99_BAR or ratio.median < 1 / P99_BAR)
    return None if disturbed else True


def render(figures: SwapFigures, directory: Path) -> str:
    """Return the page in Markdown; its plots go to `directory`."""
    runs: dict[str, Mapping[str, float]] = {}
    for kind, rounds in figures.calm.items():
        for number, one in enumerate(rounds, 1):
            runs |= {f"{kind} {number}, steady": one.steady, f"{kind} {number}, swapping": one.swapping}
    swaps = [one.swaps for one in figures.memory]
    columns = {name: (swaps, [getattr(one, name.lower()) / 1e6 for one in figures.memory]) for name in ("PSS", "USS")}
    memory = lines(directory / "swap-memory.svg", columns, "swaps", "MB")
    sections = [
        opening("Swap", figures.machine, figures.command, figures.quick),
        verdict_table(verdicts(figures)),
        "## Latency",
        f"{figures.model}. Scores of 100 candidates by a fixed schedule at half of capacity, steady and then while "
        f"another version is promoted every {figures.every_s:g} s; latency in ms counts from when a request was "
        "due. A whole version brings every row; a delta those that changed since the whole version it stands on.",
        latency_table(runs),
        table(["round", "swaps", "versions that answered", "errors", "answers without a version"],
              [[f"{kind} {number}", *map(str, (one.swaps, one.versions, one.errors, one.unnamed))]
               for kind, rounds in figures.calm.items() for number, one in enumerate(rounds, 1)]),
        "## Memory",
        "Of the service's process, in MB, as the kernel accounts it: PSS shares mapped pages among those that map "
        "them, USS is what would be free without the process. Whole versions "
        "in turn; each swap is seen in an answer before the next.",
        table(["swaps", "PSS", "USS", "RSS"],
              [[f"{one.swaps:,}", *map(megabytes, (one.pss, one.uss, one.rss))] for one in figures.memory]),
        f"![Memory over swaps]({memory})",
        *_growth(figures, directory),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _growth(figures: SwapFigures, directory: Path) -> list[str]:
    """Return what tables of more rows cost, where that was measured."""
    if not figures.growth:
        return []
    sizes = sorted({rows for costs in figures.growth.values() for rows in costs})
    series = {name: (list(costs), list(costs.values())) for name, costs in figures.growth.items()}
    drawn = lines(directory / "swap-growth.svg", series, "rows of users", "seconds", logarithmic=True)
    rows = [[name, *(f"{costs[size]:.3g}" if size in costs else "–" for size in sizes)]
            for name, costs in figures.growth.items()]  # fmt: skip
    return ["## As tables grow", table(["seconds", *(f"{size:,} rows" for size in sizes)], rows), f"![Growth]({drawn})"]

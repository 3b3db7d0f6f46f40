"""The page of `winnow bench fresh`."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.denoising.report.markdown import table
from benchmarks.serving.fresh import Freshness
from benchmarks.serving.report.plots import shares
from benchmarks.serving.report.words import Verdict, latency_table, opening, verdict_table

P50_BAR_S = 3.0
P95_BAR_S = 5.0
_SHARES = (0.5, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class FreshFigures:
    """What was measured."""

    machine: str
    command: str
    quick: bool
    rate: float
    world: str
    settings: dict[str, str]
    seen: Freshness


def verdicts(figures: FreshFigures) -> list[Verdict]:
    """Return the bars and what was seen."""
    seen = figures.seen
    return [
        (f"acknowledged to served: p50 at most {P50_BAR_S:g} s", seen.quantile_s(0.5) <= P50_BAR_S, _s(seen, 0.5)),
        (f"p95 at most {P95_BAR_S:g} s", seen.quantile_s(0.95) <= P95_BAR_S, _s(seen, 0.95)),
        ("every event offered is acknowledged", not seen.errors, f"{seen.acknowledged:,} of {seen.offered:,}"),
    ]


def render(figures: FreshFigures, directory: Path) -> str:
    """Return the page in Markdown; its plot goes to `directory`."""
    seen = figures.seen
    drawn = shares(directory / "freshness.svg", seen.delays_s.tolist(), "seconds from acknowledged to served")
    chosen = ", ".join(f"{name}={value}" for name, value in figures.settings.items()) or "defaults"
    sections = [
        opening("Freshness", figures.machine, figures.command, figures.quick),
        verdict_table(verdicts(figures)),
        "## From acknowledged to served",
        f"`winnow up` on one machine: event log, trainer and service; {figures.world}, all known before the clock "
        f"starts. {figures.rate:,.0f} single events a second by a fixed schedule for {seen.seconds:g} s. An event is "
        "fresh once the service has taken over a version whose `trained_through` lies past the event's 202; both are "
        f"read off `GET /v1/models` and the generator's own clock. Settings: {chosen}.",
        table(["share of events", "seconds"], [[f"{share:.0%}", f"{seen.quantile_s(share):.2f}"] for share in _SHARES]),
        f"{seen.versions} versions were taken over while events came, {seen.versions_per_minute:.1f} a minute.",
        f"![Freshness]({drawn})",
        "Latency of the feedback requests themselves, in ms:",
        latency_table({"feedback": seen.feedback}),
    ]
    return "\n\n".join(sections) + "\n"


def _s(seen: Freshness, share: float) -> str:
    return f"{seen.quantile_s(share):.2f} s"

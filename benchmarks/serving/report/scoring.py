"""The page of `winnow bench serve`: capacity over its limit, latency at half of it, and the peers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.denoising.report.markdown import table
from benchmarks.serving.against import Match
from benchmarks.serving.report.plots import bars, stacked
from benchmarks.serving.report.words import Verdict, latency_table, opening, verdict_table
from benchmarks.serving.scoring import Capacity
from benchmarks.serving.series import Series

LIMIT_BARS = {100: 0.6, 1_000: 0.75}
PEER_BARS = {100: 8.0, 1_000: 5.0}
P99_BAR_MS = 5.0
OVERHEAD_BAR = 0.02


@dataclass(frozen=True)
class ScoringFigures:
    """What was measured."""

    machine: str
    command: str
    quick: bool
    model: str
    capacities: Mapping[str, Capacity]  # by Case.name
    latencies: Sequence[Mapping[str, float]]  # with 100 candidates at half of capacity, a round each
    matches: Sequence[Match]


def verdicts(figures: ScoringFigures) -> list[Verdict]:
    """Return the bars and what was seen."""
    found: list[Verdict] = []
    for size, bar in LIMIT_BARS.items():
        capacity = figures.capacities.get(f"{size} items")
        if capacity:
            ratio = capacity.over_limit
            found.append((f"{size:,} ids: over the limit at least {bar}", ratio.median >= bar, ratio.text()))
    for size, bar in PEER_BARS.items():
        best = best_of(figures.matches, size)
        if best is None:
            found.append((f"{size:,} ids: {bar:g} x the best peer", None, "no peer was measured"))
        else:
            ratio = best.ratio(size)
            found.append(
                (f"{size:,} ids: {bar:g} x the best peer", ratio.median >= bar, f"{ratio.text(1)} ({best.peer})")
            )
    p99 = Series(tuple(one["p99_ms"] for one in figures.latencies))
    errors = sum(one["errors"] for one in figures.latencies)
    met = p99.median <= P99_BAR_MS and not errors
    found.append(
        (f"p99 at half of capacity at most {P99_BAR_MS:g} ms, no error", met, f"{p99.text()} ms; {errors:.0f}")
    )
    unseen = "nothing outside the process can turn them off"
    found.append((f"metrics and logging at most {OVERHEAD_BAR:.0%}", None, unseen))
    return found


def best_of(matches: Sequence[Match], size: int) -> Match | None:
    """Return the peer that answers most requests of a size."""
    measured = [match for match in matches if size in match.rival and not match.failure]
    return max(measured, key=lambda match: match.rival[size].median, default=None)


def render(figures: ScoringFigures, directory: Path) -> str:
    """Return the page in Markdown; its plots go to `directory`."""
    parts = {
        name: {part: 1e6 * seconds.median for part, seconds in capacity.seconds.items()}
        | {"the rest": 1e6 * (1 / capacity.service.median - sum(s.median for s in capacity.seconds.values()))}
        for name, capacity in figures.capacities.items()
    }
    costs = stacked(directory / "serving-costs.svg", parts, "microseconds a request")
    sections = [
        opening("Scoring", figures.machine, figures.command, figures.quick),
        verdict_table(verdicts(figures)),
        "## Over the limit",
        f"{figures.model}. `POST /v1/score` with string ids, a tenth of them unknown, and a surface; one worker, wrk "
        "with 16 connections. The limit is 1 / (t_http + t_parse + t_run + t_dump): a bare ASGI application that reads "
        "the same bodies and answers as many bytes; orjson on the same bytes; onnxruntime on the same arrays.",
        table(["candidates, format", "requests/s", "limit", "over the limit", "bytes in", "bytes out"],
              [[name, c.service.text(0), c.limit.text(0), c.over_limit.text(), *_sizes(c)]
               for name, c in figures.capacities.items()]),
        table(["microseconds", *next(iter(parts.values()))],
              [[name, *(f"{value:,.1f}" for value in row.values())] for name, row in parts.items()]),
        f"![What a request costs]({costs})",
        "## Latency",
        "100 candidates at half of the capacity above, by a fixed schedule; latency counts from when a request was "
        "due. In ms; the last column is how late the generator itself was.",
        latency_table({f"round {number + 1}": seen for number, seen in enumerate(figures.latencies)}),
        "## Peers",
        *_peers(figures, directory),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def _sizes(capacity: Capacity) -> tuple[str, str]:
    return f"{capacity.request_bytes:,}", f"{capacity.answer_bytes:,}"


def _peers(figures: ScoringFigures, directory: Path) -> list[str]:
    if not figures.matches:
        return ["Not measured in this run."]
    sizes = sorted({size for match in figures.matches for size in match.rival})
    rates = {}
    for size in sizes:
        own = Series(tuple(rate for match in figures.matches for rate in _of(match.service, size)))
        rates[f"{size:,} ids"] = {"winnow": own.median} | {
            match.peer: match.rival[size].median for match in figures.matches if size in match.rival
        }
    rows = [
        [
            match.peer,
            match.requirements,
            match.settings,
            *(_cell(match, size) for size in sizes),
        ]
        for match in figures.matches
    ]
    said = [
        "The same graph, tables, ids and bodies; each peer answers ranked rows with item_id, score, label, confidence "
        "and known, which are compared with Winnow's before anything is timed. Requests a second of the peer, and "
        "Winnow over it, in turn with Winnow under the same load. The peers check no limits and name no version.",
        table(["peer", "versions", "settings", *(f"{size:,} ids" for size in sizes)], rows),
        *(f"{match.peer} could not be measured here: {match.failure}" for match in figures.matches if match.failure),
    ]
    if sizes:
        said.append(f"![Requests a second]({bars(directory / 'serving-peers.svg', rates, 'requests/s')})")
    return said


def _of(rates: Mapping[int, Series], size: int) -> tuple[float, ...]:
    return rates[size].values if size in rates else ()


def _cell(match: Match, size: int) -> str:
    return f"{match.rival[size].text(0)}; {match.ratio(size).text(1)} x" if size in match.rival else "–"

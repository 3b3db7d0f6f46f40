"""What the bench of the console measured, and whether it meets the bars. Parts are kept one file each."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import orjson

from benchmarks.console.beside import BROWSER, STREAM, Beside
from benchmarks.console.counting import ON, SCRAPED, Counting
from benchmarks.console.first_page import FirstPage
from benchmarks.console.rounds import interval, with_interval
from benchmarks.console.visit import Visit
from benchmarks.serving.report.words import Verdict
from benchmarks.serving.series import Series

P99_BAR = 1.1
COST_BAR = 0.02
FILLED_BAR_S = 10.0
GROWTH_BAR_MB = 1.0  # of the JavaScript heap in the second half of a visit
SHOWN_BAR = 0.05  # how far the median rate shown may be from the one offered
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class FirstPages:
    """Several starts."""

    runs: tuple[FirstPage, ...]

    @property
    def filled_s(self) -> Series:
        """When each was filled."""
        return Series(tuple(one.filled_s for one in self.runs))


@dataclass(frozen=True)
class ConsoleFigures:
    """What was measured; None for a part that was not."""

    machine: str
    command: str
    quick: bool
    rate: float  # events a second
    visit: Visit | None
    beside: Beside | None
    counting: Counting | None
    first: FirstPages | None


def keep(part: object, work: Path) -> None:
    """Write one part, named after its type, over the one from before."""
    _file(type(part), work).write_bytes(orjson.dumps(asdict(part), option=orjson.OPT_NON_STR_KEYS))  # type: ignore[call-overload]


def kept(kind: type[_Part], work: Path) -> _Part | None:
    """Return the part of that type that was measured last, if any was."""
    file = _file(kind, work)
    return msgspec.json.decode(file.read_bytes(), type=kind) if file.exists() else None


def verdicts(figures: ConsoleFigures) -> list[Verdict]:
    """Return the bars and what was seen."""
    return [
        *_of_visit(figures.visit, figures.rate),
        *_of_beside(figures.beside),
        *_of_counting(figures.counting),
        _of_first(figures.first),
    ]


def _of_visit(visit: Visit | None, rate: float) -> list[Verdict]:
    demands = (
        f"console open while {rate:,.0f} events/s come: no console error, no failed request",
        f"the page shows them: within {SHOWN_BAR:.0%} of what is offered",
        f"memory of the page stable: the second half grows by at most {GROWTH_BAR_MB:g} MB",
    )
    if visit is None:
        return [(demand, None, "not measured") for demand in demands]
    wrong = len(visit.complaints), len(visit.failures)
    shown = Series(visit.shown)
    grown = visit.growth_mb()
    return [
        (demands[0], not any(wrong), f"{wrong[0]} and {wrong[1]} of {visit.requests} in {visit.seconds:.0f} s"),
        (demands[1], abs(shown.median / rate - 1) <= SHOWN_BAR, f"{shown.text(0)}"),
        (demands[2], grown <= GROWTH_BAR_MB, f"{grown:+.2f} MB"),
    ]


def _of_beside(beside: Beside | None) -> list[Verdict]:
    demands = {
        BROWSER: f"scoring p99 with the console open at most {P99_BAR} x of without, a browser on the same machine",
        STREAM: f"the same where the browser has its own machine: at most {P99_BAR} x",
    }
    if beside is None:
        return [(demand, None, "not measured") for demand in demands.values()]
    return [(demand, _surely(beside.ratio(name), P99_BAR), with_interval(beside.ratio(name)))
            for name, demand in demands.items()]  # fmt: skip


def _surely(ratio: Series, bar: float) -> bool | None:
    """Return whether the median meets the bar; None where it does and the rounds differ too much to say."""
    if ratio.median > bar:
        return False
    return True if interval(ratio)[1] <= bar else None


def _of_counting(counting: Counting | None) -> list[Verdict]:
    demands = {
        ON: f"metrics cost at most {COST_BAR:.0%} of scoring throughput: counting",
        SCRAPED: "counting, and a scrape a second",
    }
    if counting is None:
        return [(demand, None, "not measured") for demand in demands.values()]
    found: list[Verdict] = []
    for name, demand in demands.items():
        for size in counting.rates:
            ratio = counting.ratio(size, name)
            low, _ = interval(ratio)
            met = False if ratio.median < 1 - COST_BAR else True if low >= 1 - COST_BAR else None
            found.append((f"{demand}, {size} candidates", met, f"{with_interval(ratio)} of without"))
    return found


def _of_first(first: FirstPages | None) -> Verdict:
    demand = f"`winnow demo --keep` to a filled first page in at most {FILLED_BAR_S:g} s"
    if first is None:
        return demand, None, "not measured"
    return demand, max(first.filled_s.values) <= FILLED_BAR_S, f"{first.filled_s.text(1)} s"


def _file(kind: type[object], work: Path) -> Path:
    return work / f"{kind.__name__.lower()}.json"

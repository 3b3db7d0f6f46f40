"""The bench of the console: verdicts follow numbers, slopes follow readings, and a quick run writes its page."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from benchmarks.console import command
from benchmarks.console.beside import BROWSER, CLOSED, STREAM, YIELDING, Beside
from benchmarks.console.counting import OFF, ON, SCRAPED, Counting
from benchmarks.console.figures import ConsoleFigures, FirstPages, keep, kept, verdicts
from benchmarks.console.first_page import FirstPage
from benchmarks.console.page import render
from benchmarks.console.rounds import in_turn, interval
from benchmarks.console.viewer import Reading
from benchmarks.console.visit import Visit
from benchmarks.serving.series import Series

needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("wrk") is None, reason="needs chromium and wrk"
)
_OTHERS = {"p50_ms": 1.0, "p90_ms": 1.0, "p99.9_ms": 9.0, "max_ms": 9.0, "rate": 300.0, "errors": 0.0}


def block(p99_ms: float) -> dict[str, float]:
    """Return a summary of one block."""
    return {**_OTHERS, "p99_ms": p99_ms, "generator_late_p99_ms": 0.1}


def visit_of(heap_mb: Sequence[float]) -> Visit:
    """Return a visit of five minutes with readings a minute apart."""
    readings = tuple(Reading(60.0 * n, mb, 500, 40, 50.0) for n, mb in enumerate(heap_mb, 1))
    return Visit(300.0, 6, 200, (), (), readings, (1_000.0, 1_010.0))


GOOD = ConsoleFigures(
    machine="a machine",
    command="winnow bench console",
    quick=False,
    rate=1_000.0,
    visit=visit_of([2.0, 2.1, 2.2, 2.1, 2.2]),
    beside=Beside(
        300.0,
        {name: [block(p99)] * 8 for name, p99 in ((CLOSED, 2.0), (STREAM, 2.0), (YIELDING, 2.1), (BROWSER, 2.1))},
        dict.fromkeys((CLOSED, STREAM, YIELDING, BROWSER), 2.0),
        0,
    ),
    counting=Counting({100: {name: Series((1_000.0,) * 5) for name in (OFF, ON, SCRAPED)}}, 1.2, 3.0),
    first=FirstPages((FirstPage(4.0, 4.5, 6.0, 7.0, 9.0, 8.0),)),
)


def said(figures: ConsoleFigures) -> list[bool | None]:
    return [met for _, met, _ in verdicts(figures)]


def test_every_bar_is_met_by_good_figures_and_open_without_any(tmp_path: Path) -> None:
    assert said(GOOD) == [True] * 8
    nothing = replace(GOOD, visit=None, beside=None, counting=None, first=None)
    assert set(said(nothing)) == {None}
    assert "Not measured in this run." in render(nothing, tmp_path)


def test_a_failed_request_a_wrong_rate_and_a_growing_page_are_missed() -> None:
    assert GOOD.visit is not None
    failed = replace(GOOD.visit, failures=("/console/app.js: 500",))
    assert said(replace(GOOD, visit=failed))[:3] == [False, True, True]
    assert said(replace(GOOD, visit=replace(GOOD.visit, shown=(500.0, 510.0))))[:3] == [True, False, True]
    growing = visit_of([2.0, 2.0, 2.0, 3.0, 4.0])
    assert growing.slope_a_minute() == pytest.approx(1.0)
    assert growing.growth_mb() == pytest.approx(2.5)
    assert said(replace(GOOD, visit=growing))[:3] == [True, True, False]


def test_a_median_within_the_bar_is_open_while_the_rounds_do_not_agree() -> None:
    assert GOOD.beside is not None
    blocks = {**GOOD.beside.blocks, STREAM: [block(p99) for p99 in (1.0, 1.0, 1.5, 2.0, 2.1, 3.0, 5.0, 5.0)]}
    assert said(replace(GOOD, beside=replace(GOOD.beside, blocks=blocks)))[3:5] == [True, None]
    blocks[BROWSER] = [block(3.0)] * 8
    assert said(replace(GOOD, beside=replace(GOOD.beside, blocks=blocks)))[3:5] == [False, None]


def test_counting_that_costs_more_than_its_share_is_missed() -> None:
    assert GOOD.counting is not None
    slower = {**GOOD.counting.rates[100], ON: Series((970.0,) * 5)}
    assert said(replace(GOOD, counting=replace(GOOD.counting, rates={100: slower})))[5:7] == [False, True]


def test_a_single_slow_start_misses_the_bar_of_the_first_page() -> None:
    assert GOOD.first is not None
    slow = FirstPages((*GOOD.first.runs, FirstPage(4.0, 4.5, 6.0, 7.0, 9.0, 10.5)))
    assert said(replace(GOOD, first=slow))[-1] is False


def test_who_is_first_moves_on_each_round_and_the_interval_holds_the_median() -> None:
    order: list[str] = []
    in_turn({name: partial(order.append, name) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"
    low, high = interval(Series((0.9, 1.0, 1.1, 1.0, 1.0, 3.0, 1.0)))
    assert low <= 1.0 <= high < 3.0


def test_parts_are_kept_as_they_were_measured(tmp_path: Path) -> None:
    for part in (GOOD.visit, GOOD.beside, GOOD.counting, GOOD.first):
        assert kept(type(part), tmp_path) is None
        keep(part, tmp_path)
        assert kept(type(part), tmp_path) == part


@needs_browser
def test_a_quick_run_of_console_writes_its_page(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    work = tmp_path_factory.mktemp("b")
    command.console(quick=True, only=[command.Part.VISIT, command.Part.COUNTING], seconds=8.0, work=work)
    page = (work / "console.md").read_text()
    assert "these numbers claim nothing" in page
    assert "0 and 0 of" in page  # no complaint, no failed request
    assert (work / "console-memory.svg").exists()

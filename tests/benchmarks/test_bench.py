"""The bench end to end: a tiny grid in real processes, stopped and gone on with, and the page it writes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.denoising import bench as bench_module
from benchmarks.denoising.bench import Options, bench
from benchmarks.denoising.code_version import code_version
from benchmarks.denoising.finished import FinishedCells, write_parquet
from benchmarks.denoising.grid import PROTOCOLS, Cell, Plan, plan
from benchmarks.denoising.measured import Measured
from benchmarks.denoising.method import Method, default_method
from benchmarks.denoising.noise_dial import Dial
from benchmarks.denoising.parallel import measure_and_keep
from benchmarks.denoising.recovery import COUNTS, D2Q, Recovery, W, Y
from benchmarks.denoising.report.comparisons import BETTER, WORSE, against_best_controls
from benchmarks.denoising.report.page import write_page
from benchmarks.denoising.report.verdict import verdict
from benchmarks.denoising.results import Results, read_results
from benchmarks.denoising.sources import Sources
from benchmarks.denoising.stream import Stream
from contract.errors import DataError

DIAL = Dial("by-surface", 0.15, 0.5, 0.2, events=600)
NOWHERE = Sources(Path("nowhere"), Path("nowhere"))


def options_of(tmp_path: Path, **changes: object) -> Options:
    options = Options(
        protocols=("dial",),
        seeds=1,
        jobs=1,
        quick=True,
        tuning=False,
        overrides=(),
        kuairand=tmp_path / "nothing",
        movielens=tmp_path / "nothing",
        report_from_ms=1,
        work=tmp_path / "work",
        report=tmp_path / "docs" / "page.md",
        code="test",
        command="winnow bench denoise --only {only}",
        machine={"cpu": "a test"},
    )
    return replace(options, **changes)  # type: ignore[arg-type]


def test_a_stopped_grid_goes_on_where_it_was_and_once_finished_only_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Plan([Cell(DIAL, method, 1) for method in (Method("negative"), Method("evidence"))], {})
    monkeypatch.setattr(bench_module, "plan", lambda *_: two)
    options, console = options_of(tmp_path), Console(quiet=True)
    first = two.cells[0].key("test", options.sources().fingerprint("dial"))
    cells = options.work / "cells"
    assert not measure_and_keep(two.cells[0], first, cells, options.sources()).complaint  # and then it was stopped
    before = (cells / f"{first}.json").stat().st_mtime_ns

    assert bench(options, console) == []  # in a process of its own
    assert (cells / f"{first}.json").stat().st_mtime_ns == before
    assert len(list(cells.glob("*.json"))) == 2
    results = read_results(options.results)
    assert [entrant.name for entrant in results.methods("dial", DIAL.title)] == ["negative", "evidence"]
    assert results.about["cells"] == 2

    monkeypatch.setattr(bench_module, "measure_cells", lambda *_: pytest.fail("nothing was missing"))
    assert bench(options, console) == []
    page = options.report.read_text()
    assert DIAL.title in page
    assert "`winnow bench denoise --only dial`" in page


def test_a_missing_data_set_stops_the_bench_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--kuairand"):
        bench(options_of(tmp_path, protocols=("stream",)), Console(quiet=True))
    assert not (tmp_path / "work").exists()


def test_a_method_that_fails_is_an_outcome_and_not_an_end(tmp_path: Path) -> None:
    outcome = measure_and_keep(Cell(Stream(1.0), Method("negative"), 1), "key", tmp_path, NOWHERE)
    assert outcome.complaint.startswith("DataError")
    assert not FinishedCells(tmp_path).has("key")


def test_a_cell_is_known_by_all_that_its_outcome_depends_on() -> None:
    cell = Cell(DIAL, Method("negative"), 1)
    others = [
        replace(cell, seed=2),
        replace(cell, tuning=True),
        replace(cell, overrides=(("dim", "8"),)),
        replace(cell, method=Method("bce")),
        replace(cell, condition=replace(DIAL, flip=0.3)),
    ]
    keys = {cell.key("code", "data"), *(other.key("code", "data") for other in others), cell.key("other", "data")}
    assert len({*keys, cell.key("code", "other")}) == 8
    assert code_version() == code_version()


def test_a_method_the_learner_does_not_offer_is_left_out_and_named() -> None:
    whole = plan(1, overrides=(("dim", "none"),))
    assert whole.cells == []
    assert "dim" in whole.refused["negative"]


def test_the_default_grid_has_every_protocol_and_the_default_in_each() -> None:
    whole = plan(2)
    named = {cell.condition.protocol for cell in whole.cells}
    assert named == set(PROTOCOLS)
    for protocol in ("stream", "split", "recovery"):
        cells = [cell for cell in whole.cells if cell.condition.protocol == protocol]
        assert sum(cell.method == default_method() for cell in cells) * 2 >= 2
    assert len(set(whole.cells)) == len(whole.cells)


def results_of(directory: Path, aucs: dict[Cell, dict[str, float]]) -> Results:
    """Return results with these figures, each resampled with a little noise that is the cell's own."""
    finished, keyed = FinishedCells(directory / "cells"), []
    for place, (cell, figures) in enumerate(aucs.items()):
        noise = np.random.default_rng(place).normal(0, 1e-4, 50)
        finished.add(f"key{place}", Measured(figures, {name: value + noise for name, value in figures.items()}, {}))
        keyed.append((cell, f"key{place}"))
    write_parquet(directory / "results.parquet", keyed, finished, {"command": "x {only}"})
    return read_results(directory / "results.parquet")


@pytest.mark.parametrize(
    ("found", "ece", "met"),
    [(0.84, 0.001, [True, True, True, True, True]), (0.82, 0.01, [False, False, False, False, False])],
)
def test_the_verdict_on_recovery_follows_the_numbers(tmp_path: Path, found: float, ece: float, met: list[bool]) -> None:
    aucs = {W: found, D2Q: 0.745, Y: 0.77, COUNTS: 0.815}
    figures = {**{f"auc {score}": value for score, value in aucs.items()}, f"ece {W}": ece}
    results = results_of(tmp_path, {Cell(Recovery(), default_method(), 1): figures})
    claims = verdict(results)
    assert [claim.met for claim in claims if claim.number == 1] == met
    assert {claim.met for claim in claims if claim.number != 1} == {None}  # nothing else was measured
    write_page(results, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert page.count("**missed**") == met.count(False)
    assert all(plot.stat().st_size < 150_000 for plot in tmp_path.glob("*.svg"))


def test_a_default_that_trails_the_best_control_is_said_to_miss_and_marked(tmp_path: Path) -> None:
    full = Stream(1.0)
    results = results_of(
        tmp_path,
        {
            Cell(full, default_method(), 1): {"auc": 0.780, "gauc": 0.60},
            Cell(full, Method("negative"), 1): {"auc": 0.785, "gauc": 0.56},
            Cell(full, Method("bce"), 1): {"auc": 0.740, "gauc": 0.58},
        },
    )
    by_demand = {claim.demand: claim for claim in verdict(results)}
    below = [claim for demand, claim in by_demand.items() if "no control" in demand]
    assert [claim.met for claim in below] == [False, True]
    assert "against negative" in below[0].measured
    assert "against bce" in below[1].measured
    by_auc, by_gauc = (against_best_controls(results, "stream", figure) for figure in ("auc", "gauc"))
    assert by_auc[full.title, default_method().name].mark == WORSE
    assert by_gauc[full.title, default_method().name].mark == BETTER
    assert (full.title, "negative") not in by_auc  # the best control is not compared with itself
    write_page(results, tmp_path / "page.md")
    assert "**missed**" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(("over_coin", "met"), [(0.01, True), (-0.01, False)])
def test_an_inverse_gradient_must_beat_both_none_and_the_coin(tmp_path: Path, over_coin: float, met: bool) -> None:
    aucs = {"none": 0.70, "coin-flip": 0.72 - over_coin, "ig-sequential": 0.72}
    results = results_of(
        tmp_path, {Cell(DIAL, Method("watch", meta), 1): {"auc": value} for meta, value in aucs.items()}
    )
    (claim,) = (claim for claim in verdict(results) if claim.number == 4)
    assert claim.met is met

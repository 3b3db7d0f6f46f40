"""The training bench: its verdicts follow the numbers, and a quick run writes what it saw."""

import json
from pathlib import Path

import pytest

from benchmarks.speed.command import BACKBONES, METAS, train
from benchmarks.speed.page import Figures, render, verdicts
from benchmarks.speed.timing import Timed, interleaved, ratio


def timed(rate: float) -> Timed:
    return Timed((1.0, 1.0, 1.0), int(rate))


def planted(
    idl: float = 3e6,
    ig: float = 2.5e6,
    default: float = 4e5,
    slow: float = 1e6,
    whole: float = 1e6,
    gpu: float | None = None,
) -> Figures:
    return Figures(
        machine="a machine", command="a command", pairs="pairs", log="a log",
        paper={"plain": timed(3.5e6), "idl": timed(idl), "ig": timed(ig)},
        batches={2_048: timed(default)}, default_batch=2_048,
        metas={meta: timed(1e5) for meta in METAS}, backbones={name: timed(1e5) for name in BACKBONES},
        rows={10_000: timed(1.1e6), 10_000_000: timed(slow)},
        known={10_000: timed(1.1e6), 10_000_000: timed(whole)}, gpu=gpu,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "met"),
    [
        (planted(), [True, True, True, True, True, True, None]),
        (planted(idl=1.9e6), [False, True, True, True, True, True, None]),
        (planted(ig=1.9e6), [True, False, False, True, True, True, None]),
        (planted(default=2.9e5), [True, True, True, False, True, True, None]),
        (planted(slow=0.9e6), [True, True, True, True, True, False, None]),
        (planted(whole=0.9e6), [True, True, True, True, False, True, None]),
        (planted(gpu=1e-5), [True] * 7),
        (planted(gpu=1e-3), [True] * 6 + [False]),
    ],
)
def test_each_verdict_follows_its_number(figures: Figures, met: list[bool | None]) -> None:
    assert [each for _, each, _ in verdicts(figures)] == met
    assert render(figures).count("**missed**") == met.count(False)


def test_rounds_are_interleaved_and_the_first_is_a_warm_up() -> None:
    order: list[str] = []

    def run(name: str) -> int:
        order.append(name)
        return 7

    found = interleaved({"a": lambda: run("a"), "b": lambda: run("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert [len(found["a"].seconds), found["b"].examples] == [2, 7]


def test_ratios_are_of_time_an_example_round_by_round() -> None:
    assert ratio(Timed((2.0, 3.0, 8.0), 10), Timed((1.0, 1.0, 2.0), 10)) == pytest.approx((3.0, 2.0, 4.0))
    assert ratio(Timed((2.0,), 20), Timed((1.0,), 10)) == pytest.approx((1.0, 1.0, 1.0))


def test_a_quick_run_writes_its_figures_and_its_page(tmp_path: Path) -> None:
    train(True, 3, tmp_path, tmp_path, tmp_path, None)
    figures = json.loads((tmp_path / "figures-quick.json").read_text())
    assert len(figures["verdicts"]) == 7
    assert set(figures["cpu_seconds"]["backbones"]) == set(BACKBONES)
    page = (tmp_path / "training.md").read_text()
    assert all(verdict["seen"] in page for verdict in figures["verdicts"])

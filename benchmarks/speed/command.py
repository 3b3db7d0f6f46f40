"""`winnow bench train`: how fast the models and the learner train on one thread. Heavy parts load when it runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.speed.page import Figures
    from benchmarks.speed.paper import Pairs
    from contract.events import Events

WORK = Path(".winnow/bench/training")
REPORT = Path("docs/benchmarks/training.md")
DATA = Path("../shared/data")
METAS = ("none", "ig", "ig-local", "l2rw", "ig-sequential", "coin-flip")
BACKBONES = ("gmf", "neumf", "lightgcn", "ngcf", "pinsage", "sasrec")


def train(
    quick: Annotated[bool, typer.Option(help="A smoke run in seconds; its numbers claim nothing.")] = False,
    rounds: Annotated[int, typer.Option(min=3, help="Counted rounds; claims need 5.")] = 5,
    kuairand: Annotated[Path, typer.Option(help="Directory of the KuaiRand log; simulated if absent.")] = DATA
    / "kuairand",
    movielens: Annotated[Path, typer.Option(help="Directory of train.rating; random pairs if absent.")] = DATA
    / "ml-1m",
    work: Annotated[Path, typer.Option(help="Where the figures are written as JSON.")] = WORK,
    report: Annotated[Path | None, typer.Option(help=f"Page to write; by default {REPORT}, quick: in --work.")] = None,
) -> None:
    """Measure training speed: the paper's methods, the full default, every meta and backbone, growing tables."""
    from rich.console import Console

    from benchmarks.speed.page import render, verdicts

    console = Console()
    figures = measure(quick, rounds, kuairand, movielens)
    work.mkdir(parents=True, exist_ok=True)
    said = [{"demand": demand, "met": met, "seen": seen} for demand, met, seen in verdicts(figures)]
    seconds = {
        part: {str(name): timed.seconds for name, timed in getattr(figures, part).items()}
        for part in ("paper", "batches", "metas", "backbones", "rows", "known")
    }
    figures_file = work / ("figures-quick.json" if quick else "figures.json")
    figures_file.write_text(json.dumps({"verdicts": said, "cpu_seconds": seconds}, indent=1))
    page = report or (work / REPORT.name if quick else REPORT)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(figures))
    for demand, met, seen in verdicts(figures):
        console.print({True: "met   ", False: "MISSED", None: "open  "}[met], demand, "->", seen)
    console.print(f"{figures_file} and {page} written")


def measure(quick: bool, rounds: int, kuairand: Path, movielens: Path) -> "Figures":
    """Measure everything on one thread."""
    import torch

    from benchmarks.denoising.command import machine
    from benchmarks.speed.device import parity
    from benchmarks.speed.learning import learner_on, stepping, steps_on
    from benchmarks.speed.page import Figures
    from benchmarks.speed.paper import epochs
    from benchmarks.speed.timing import interleaved
    from trainer.settings import LearnerSettings

    torch.set_num_threads(1)
    about = machine()
    pairs, pairs_from = _pairs(movielens, quick)
    events, events_from = _events(kuairand, quick)
    default = LearnerSettings().batch_events
    few = events.take(slice(0, 2_000 if quick else 20_000))
    sizes = sorted({default} if quick else {256, 512, 1_024, default, 4_096})
    rows = (1_000, 10_000) if quick else (10_000, 100_000, 1_000_000, 10_000_000)
    return Figures(
        machine=f"{about['cpu']}; Python {about['python']}, torch {about['torch']}, numpy {about['numpy']}.",
        command="winnow bench train" + (" --quick" if quick else "") + (f" --rounds {rounds}" if rounds != 5 else ""),
        pairs=pairs_from,
        log=events_from,
        paper=interleaved(epochs(pairs), rounds),
        batches=interleaved({size: stepping(events, batch_events=size) for size in sizes}, rounds),
        default_batch=default,
        metas=interleaved({meta: stepping(few, meta=meta) for meta in METAS}, rounds),
        backbones=interleaved({name: stepping(few, backbone=name) for name in BACKBONES}, rounds),
        rows=interleaved({count: steps_on(count) for count in rows}, rounds),
        known=interleaved({count: learner_on(count) for count in rows}, rounds),
        gpu=parity(few),
    )


def _pairs(directory: Path, quick: bool) -> "tuple[Pairs, str]":
    import numpy as np

    from benchmarks.speed.paper import of_rows, random_pairs
    from trainer.movielens import read_ratings

    found = sorted(directory.glob("train.rating*")) if directory.is_dir() else []
    if quick or not found:
        return random_pairs(6_040, 3_706, 20_000 if quick else 600_000), "random pairs of 6,040 users and 3,706 items"
    read = read_ratings(found[0])
    user, item = (1 + np.unique(column, return_inverse=True)[1] for column in (read.user, read.item))
    return of_rows(user, item, read.rating > 2), f"the {len(user):,} training pairs of MovieLens-1M"


def _events(directory: Path, quick: bool) -> "tuple[Events, str]":
    from trainer.datasets import read_kuairand
    from trainer.log_block import LogBlock
    from trainer.simulated_world import SimulatorConfig
    from trainer.simulator import Simulator

    logs = sorted(directory.glob("log_standard*.csv*")) if directory.is_dir() else []
    if quick or not logs:
        block = Simulator(SimulatorConfig(), seed=1).next_block(4_096 if quick else 100_000)
        return block.events, f"{len(block):,} simulated events"
    features = next(iter(sorted(directory.glob("video_features*.csv*"))), None)
    block = LogBlock.concatenate(list(read_kuairand(logs, features)))
    return block.events, f"the KuaiRand log ({len(block):,} events)"

"""Cells measured in parallel processes. Each is on disk as soon as it is finished; a failed one stops no other."""

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.denoising.finished import FinishedCells
from benchmarks.denoising.grid import Cell
from benchmarks.denoising.sources import Sources
from benchmarks.denoising.threads import one_thread_each, use_one_thread


@dataclass(frozen=True)
class Outcome:
    """How a cell ended."""

    cell: Cell
    complaint: str = ""  # last line of the error; empty where it is finished
    trace: str = ""


def measure_cells(
    cells: Sequence[tuple[Cell, str]],
    directory: Path,
    sources: Sources,
    jobs: int,
    ended: Callable[[Outcome], None],
) -> list[Outcome]:
    """Measure each cell and keep it under its key. Returns the failures; `ended` hears of every cell as it ends."""
    failures = []
    with (
        one_thread_each(),
        ProcessPoolExecutor(max(1, min(jobs, len(cells))), get_context("spawn"), use_one_thread) as pool,
    ):
        futures = [pool.submit(measure_and_keep, cell, key, directory, sources) for cell, key in cells]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                ended(outcome)
                if outcome.complaint:
                    failures.append(outcome)
        except BaseException:  # an interrupt, too: what waits must not run on
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failures


def measure_and_keep(cell: Cell, key: str, directory: Path, sources: Sources) -> Outcome:
    """Measure one cell, in this process."""
    try:
        measured = cell.condition.measure(sources, cell.settings(), cell.tuning)
        FinishedCells(directory).add(key, measured)
    except Exception as error:  # any defect of a method is that method's result, not the end of the bench
        return Outcome(cell, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Outcome(cell)

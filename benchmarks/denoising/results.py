"""The Parquet of the bench, read back: every figure of every method, ready to be compared."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.denoising.finished import ABOUT
from benchmarks.denoising.method import Method
from benchmarks.denoising.paired import Series
from contract.errors import DataError

Place = tuple[str, str, str, str]  # protocol, condition, method, figure


@dataclass(frozen=True)
class Entrant:
    """A method as the table knows it."""

    method: Method
    is_control: bool
    is_default: bool

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.method.name


@dataclass(frozen=True)
class Results:
    """All figures by place, and facts about the run."""

    about: dict[str, Any]
    figures: dict[Place, Series] = field(default_factory=dict)
    entrants: dict[tuple[str, str], list[Entrant]] = field(default_factory=dict)  # by protocol and condition

    def conditions(self, protocol: str) -> list[str]:
        """Return the conditions of a protocol, in the order of the grid."""
        return [condition for of, condition in self.entrants if of == protocol]

    def methods(self, protocol: str, condition: str) -> list[Entrant]:
        """Return the methods measured under a condition, in the order of the grid; empty if it was not measured."""
        return self.entrants.get((protocol, condition), [])

    def series(self, protocol: str, condition: str, method: str, figure: str) -> Series:
        """Return a figure by seed; empty where it was not measured."""
        return self.figures.get((protocol, condition, method, figure), Series({}, {}))

    def default(self, protocol: str, condition: str) -> Entrant | None:
        """Return the default method, if it was measured."""
        return next((entrant for entrant in self.methods(protocol, condition) if entrant.is_default), None)

    def best(
        self, protocol: str, condition: str, figure: str, among: Callable[[Entrant], bool]
    ) -> tuple[Entrant, Series] | None:
        """Return the method with the greatest mean of a figure among some, and that figure; None if there is none."""
        measured = [
            (entrant, series)
            for entrant in self.methods(protocol, condition)
            if among(entrant) and not np.isnan((series := self.series(protocol, condition, entrant.name, figure)).mean)
        ]
        return max(measured, key=lambda found: found[1].mean, default=None)

    def best_control(self, protocol: str, condition: str, figure: str) -> tuple[Entrant, Series] | None:
        """Return the best of the simple methods by a figure, chosen on the very data that are reported."""
        return self.best(protocol, condition, figure, lambda entrant: entrant.is_control)


def read_results(path: Path) -> Results:
    """Read a Parquet of `finished.write_parquet`. Raises DataError if it is missing."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file; `winnow bench denoise` writes it")
    table = pq.read_table(path)
    values: dict[Place, dict[int, float]] = defaultdict(dict)
    draws: dict[Place, dict[int, Any]] = defaultdict(dict)
    entrants: dict[tuple[str, str], dict[str, Entrant]] = defaultdict(dict)
    for row in table.to_pylist():
        place = (row["protocol"], row["condition"], row["method"], row["figure"])
        values[place][row["seed"]] = row["value"]
        if row["draws"] is not None:
            draws[place][row["seed"]] = np.asarray(row["draws"], np.float32)
        method = Method(row["target"], row["meta"], row["backbone"], row["cascade"])
        entrants[place[:2]][method.name] = Entrant(method, row["is_control"], row["is_default"])
    return Results(
        json.loads((table.schema.metadata or {}).get(ABOUT, b"{}")),
        {place: Series(by_seed, draws[place]) for place, by_seed in values.items()},
        {place: list(by_name.values()) for place, by_name in entrants.items()},
    )

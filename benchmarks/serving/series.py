"""One number a round: medians with their spread, and ratios taken round by round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

_Name = TypeVar("_Name")


@dataclass(frozen=True)
class Series:
    """What each counted round gave."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Their median."""
        return float(np.median(self.values))

    def over(self, other: "Series") -> "Series":
        """Return the ratio to another series, round by round: both ran within the same minute."""
        return Series(tuple(one / two for one, two in zip(self.values, other.values, strict=True)))

    def text(self, digits: int = 2) -> str:
        """Return median, least and largest."""
        return f"{self.median:,.{digits}f} ({min(self.values):,.{digits}f} to {max(self.values):,.{digits}f})"


def interleaved(alternatives: Mapping[_Name, Callable[[], float]], rounds: int) -> dict[_Name, Series]:
    """Run A B C A B C ...; each returns a number. The first round warms up and is not counted."""
    seen: dict[_Name, list[float]] = {name: [] for name in alternatives}
    for number in range(rounds + 1):
        for name, run in alternatives.items():
            value = run()
            if number:
                seen[name].append(value)
    return {name: Series(tuple(values)) for name, values in seen.items()}


def harmonic(parts: Sequence[Series]) -> Series:
    """Return 1 / (the sum of times), round by round."""
    return Series(tuple(1.0 / sum(times) for times in zip(*(part.values for part in parts), strict=True)))

"""Honest timing of alternatives: interleaved rounds of one thread's CPU time, medians with their spread."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

_Name = TypeVar("_Name", str, int)


@dataclass(frozen=True)
class Timed:
    """CPU seconds of one alternative, a number a round."""

    seconds: tuple[float, ...]
    examples: int  # trained in each round

    @property
    def rate(self) -> float:
        """Median examples a second."""
        return self.examples / float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """Least and largest examples a second."""
        return self.examples / max(self.seconds), self.examples / min(self.seconds)


def interleaved(alternatives: Mapping[_Name, Callable[[], int]], rounds: int) -> dict[_Name, Timed]:
    """Run A B C A B C ...; each returns how many examples it trained. The first round warms up and is not counted.

    CPU time of the process, not of the clock on the wall: the machine is shared.
    """
    seconds: dict[_Name, list[float]] = {name: [] for name in alternatives}
    trained = {name: run() for name, run in alternatives.items()}
    for _ in range(rounds):
        for name, run in alternatives.items():
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    return {name: Timed(tuple(spent), trained[name]) for name, spent in seconds.items()}


def ratio(one: Timed, other: Timed) -> tuple[float, float, float]:
    """Return median, least and largest of time a trained example, `one` over `other`, round by round."""
    pairs = np.array(one.seconds) / one.examples / (np.array(other.seconds) / other.examples)
    return float(np.median(pairs)), float(pairs.min()), float(pairs.max())

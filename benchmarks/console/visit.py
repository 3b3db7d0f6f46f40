"""A long visit: the console stays open while events come, and its memory is read every few seconds.

The visitor goes round all pages, then stays on Loop for a while, and so on. Memory is compared on Loop only.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.console.busy import Busy
from benchmarks.console.viewer import Reading, Viewer, viewer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES = ("directions", "labels", "audit", "models", "score")
KEPT_ENTRIES = 900  # of a kind, that a page keeps at most: a quarter of an hour
PAGE_SHARE = 1 / 75  # of the visit, on each page of a round; 4 s of five minutes
STAY_SHARE = 1 / 10  # on Loop, after each round
_EVERY_S = 5.0  # between two readings


@dataclass(frozen=True)
class Visit:
    """What a visit of some minutes saw."""

    seconds: float
    rounds: int  # of all pages
    requests: int
    complaints: tuple[str, ...]
    failures: tuple[str, ...]
    readings: tuple[Reading, ...]  # on Loop
    shown: tuple[float, ...]  # events a second, as the page told at those moments

    @property
    def second_half(self) -> Sequence[Reading]:
        """The readings of the second half."""
        return [one for one in self.readings if one.at_s >= self.seconds / 2]

    def slope_a_minute(self, of: str = "heap_mb") -> float:
        """Return the slope of a line through the readings of the second half."""
        half = self.second_half
        if len(half) < 2:
            return 0.0
        minutes = [one.at_s / 60 for one in half]
        return float(np.polyfit(minutes, [getattr(one, of) for one in half], 1)[0])

    def growth_mb(self) -> float:
        """Return by how much the heap grew in the second half, by that slope."""
        return self.slope_a_minute() * self.seconds / 120


def visit(running: "Browser", busy: Busy, seconds: float) -> Visit:
    """Open the console and stay for `seconds`."""
    with viewer(running) as looking:
        looking.page.goto(busy.console_url)
        started, rounds = time.monotonic(), 0
        readings: list[Reading] = []
        shown: list[float] = []
        while (left := seconds - (time.monotonic() - started)) > 0:
            if left > seconds * (len(PAGES) * PAGE_SHARE + STAY_SHARE / 2):
                _go_round(looking, seconds * PAGE_SHARE)
                rounds += 1
            left = seconds - (time.monotonic() - started)
            _stay(looking, started, min(seconds * STAY_SHARE, left), readings, shown)
        return Visit(
            time.monotonic() - started, rounds, looking.requests, tuple(looking.complaints), tuple(looking.failures),
            tuple(readings), tuple(shown),
        )  # fmt: skip


def _go_round(looking: Viewer, page_s: float) -> None:
    for name in PAGES:
        _open(looking, name)
        looking.page.wait_for_timeout(1000 * page_s)
    _open(looking, "loop")


def _open(looking: Viewer, name: str) -> None:
    looking.page.locator(f'nav a[href="#/{name}"]').click()
    looking.page.locator("main h1").first.wait_for()


def _stay(looking: Viewer, started: float, seconds: float, readings: list[Reading], shown: list[float]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        looking.page.wait_for_timeout(min(_EVERY_S, max(until - time.monotonic(), 0.1)) * 1000)
        shown.append(looking.events_a_second())
        readings.append(looking.reading(time.monotonic() - started))

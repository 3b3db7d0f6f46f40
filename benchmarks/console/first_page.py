"""How long `winnow demo --keep` takes from its start to a first page of the console that is filled.

The URL is read off what the command prints, as a person would; the browser runs already.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.console.viewer import Viewer, viewer
from contract.errors import SetupError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

POINTS = 2
_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 60.0
_LOOK_MS = 25
_URL = re.compile(r"Console: (http://\S+)")
# Each chart as a table: how many of its rows tell a figure. Opening one keeps it up to date while it is open.
_CHARTS = """() => [...document.querySelectorAll("figure.chart")].map(figure => {
    figure.querySelector("details").open = true;
    const rows = [...figure.querySelectorAll("tbody tr")];
    const told = row => [...row.querySelectorAll("td")].some(cell => /\\d/.test(cell.textContent));
    return [figure.querySelector("figcaption h2").textContent, rows.filter(told).length];
})"""


@dataclass(frozen=True)
class FirstPage:
    """When each thing was there, in seconds since the command was started."""

    printed_s: float  # the URL of the console
    loaded_s: float  # the page
    events_s: float  # the tile of incoming events shows some
    auc_s: float  # the tile of the AUC shows one
    version_s: float  # the tile of the version shows one that was learned
    charts_s: float  # every chart has two points

    @property
    def filled_s(self) -> float:
        """When events, an AUC and every chart were there."""
        return max(self.events_s, self.auc_s, self.charts_s)


def first_page(running: "Browser", home: Path) -> FirstPage:
    """Start the demo in a fresh home, look until the page is filled, and stop it. Raises SetupError if it never is."""
    shutil.rmtree(home, ignore_errors=True)
    started = time.monotonic()
    with _demo(home) as demo, viewer(running) as looking:
        url = _printed_url(demo)
        printed_s = time.monotonic() - started
        looking.page.goto(url)
        loaded_s = time.monotonic() - started
        seen = _first_seen(looking, started)
        if looking.complaints or looking.failures:
            raise SetupError(f"the console complained: {'; '.join(looking.complaints + looking.failures)}")
    return FirstPage(printed_s, loaded_s, **seen)


def _first_seen(looking: Viewer, started: float) -> dict[str, float]:
    seen: dict[str, float] = {}
    while len(seen) < 4:
        now_s = time.monotonic() - started
        for name, there in _there(looking).items():
            if there:
                seen.setdefault(name, now_s)
        if now_s > _TIMEOUT_S:
            raise SetupError(f"the first page was not filled within {_TIMEOUT_S:g} s; only {sorted(seen)} came")
        looking.page.wait_for_timeout(_LOOK_MS)
    return seen


def _there(looking: Viewer) -> dict[str, bool]:
    charts: list[list[Any]] = looking.page.evaluate(_CHARTS)
    return {
        "events_s": looking.events_a_second() > 0,
        "auc_s": any(map(str.isdigit, looking.tile("AUC"))),
        "version_s": looking.tile("Version").isdigit(),
        "charts_s": len(charts) > 1 and all(points >= POINTS for _, points in charts),
    }


def _printed_url(demo: "subprocess.Popen[str]") -> str:
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        if found := _URL.search(line):
            return found[1]
        said.append(line)
    raise SetupError(f"winnow demo ended with {demo.wait()} and said: {''.join(said)[-500:]!r}")


@contextmanager
def _demo(home: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run the demo; it stops what it started when it is told to, and is waited for."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "demo-errors.log").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "winnow", "demo", "--keep", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_STOP_TIMEOUT_S)
        process.kill()
        process.wait()

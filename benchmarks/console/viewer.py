"""A real browser that has the console open: what its pages complain of, what they show, and the memory they take."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from contract.errors import SetupError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, ConsoleMessage, Page, Playwright, Request, Response

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LEFT = "net::ERR_ABORTED"  # what leaving a page does to its stream
_TIMEOUT_MS = 30_000
_TILE = """name => [...document.querySelectorAll(".tile")]
    .find(tile => tile.querySelector("dt").textContent === name)?.querySelector("dd").textContent ?? "" """


@dataclass(frozen=True)
class Reading:
    """What a page took at one moment, after a forced garbage collection."""

    at_s: float  # since the visit began
    heap_mb: float  # JavaScript objects that are in use
    nodes: int
    listeners: int
    renderer_mb: float  # memory of the page's process that is its own (USS)


@dataclass
class Viewer:
    """One page of the browser; everything it complained of is kept."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)  # errors and warnings of the browser's console
    failures: list[str] = field(default_factory=list)  # requests without a good answer
    requests: int = 0

    def __post_init__(self) -> None:
        self._session: CDPSession = self.page.context.new_cdp_session(self.page)
        self._session.send("Performance.enable")
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def reading(self, at_s: float) -> Reading:
        """Collect garbage, and return what is left."""
        self._session.send("HeapProfiler.collectGarbage")
        told = self._session.send("Performance.getMetrics")["metrics"]
        metrics = {one["name"]: one["value"] for one in told}
        heap, nodes, listeners = (metrics[name] for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners"))
        return Reading(at_s, heap / 1e6, int(nodes), int(listeners), _renderer_bytes() / 1e6)

    def tile(self, name: str) -> str:
        """Return what a tile of the page Loop shows."""
        return str(self.page.evaluate(_TILE, name))

    def events_a_second(self) -> float:
        """Return what the tile of incoming events shows; 0 while it shows none."""
        found = re.match(r"[\d,.]+", self.tile("Events in"))
        return float(found[0].replace(",", "")) if found else 0.0

    def _said(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _failed(self, request: "Request") -> None:
        if request.failure != _LEFT:
            self.failures.append(f"{request.url}: {request.failure}")

    def _answered(self, response: "Response") -> None:
        self.requests += 1
        if response.status >= 400:
            self.failures.append(f"{response.url}: {response.status}")


@contextmanager
def driver() -> "Iterator[Playwright]":
    """Run what drives browsers. One at a time in a thread: it keeps an event loop running there."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SetupError("the browser is driven by playwright: pip install '.[dev]'") from None
    with sync_playwright() as driving:
        yield driving


@contextmanager
def browser(driving: "Playwright", yielding_in: Path | None = None) -> "Iterator[Browser]":
    """Run a headless Chromium. One that yields takes only what time the processors have left; it needs a directory.

    Raises SetupError with how to get it where there is none.
    """
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        raise SetupError("no Chromium is on PATH: install the package chromium (apt-get install chromium)")
    started = program if yielding_in is None else _at_low_priority(program, yielding_in)
    running = driving.chromium.launch(executable_path=started, args=["--no-sandbox"])
    yield running
    running.close()


@contextmanager
def viewer(running: "Browser") -> Iterator[Viewer]:
    """Open one page of 1280 x 900 in a context of its own, which is gone afterwards."""
    context = running.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT_MS)
    yield Viewer(page)
    context.close()


def _at_low_priority(program: str, work: Path) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    script = work.resolve() / "yielding-browser.sh"
    script.write_text(f'#!/bin/sh\nexec nice -n 19 "{program}" "$@"\n')
    script.chmod(0o755)
    return script


def _renderer_bytes() -> int:
    """Return the memory of the page's process; the largest of this process's renderers, as an idle one may wait."""
    found = [0]
    for child in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in child.cmdline():
                found.append(child.memory_full_info().uss)
        except psutil.NoSuchProcess:
            continue
    return max(found)

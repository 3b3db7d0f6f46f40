"""What scores cost while the console is open: open-loop blocks without it, with a reader of its stream, with a browser.

A browser draws on the same two processors here, where it would have its own machine. So the stream is read by a client
that draws nothing, too: that is the service's own share. A browser that yields to everything else is in between.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np

from benchmarks.console.busy import Busy
from benchmarks.console.rounds import in_turn
from benchmarks.console.viewer import browser, viewer
from benchmarks.serving.open_loop import Open, open_loop
from benchmarks.serving.series import Series
from contract.errors import SetupError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

CLOSED, STREAM, YIELDING, BROWSER = "closed", "stream read", "browser that yields", "browser"
_SCORE = "/v1/score"
_SETTLE_MS = 2_000
_WARM_UP_S = 1.0
_LEAST_PIECES = 2


@dataclass(frozen=True)
class Beside:
    """Latency of scores by what was open, a summary a block."""

    rate: float
    blocks: Mapping[str, Sequence[Mapping[str, float]]]
    pooled_p99_ms: Mapping[str, float]  # of all blocks together
    errors: int

    def ratio(self, name: str) -> Series:
        """Return p99 over that of the closed console, round by round."""
        open_, closed = (Series(tuple(one["p99_ms"] for one in self.blocks[which])) for which in (name, CLOSED))
        return open_.over(closed)


def beside(busy: Busy, driving: "Playwright", work: Path, rate: float, rounds: int, seconds: float) -> Beside:
    """Measure every alternative once a round; the first warms up. Raises SetupError if a console showed nothing."""
    with browser(driving) as plain, browser(driving, yielding_in=work) as yielding:
        opened: dict[str, Callable[[], AbstractContextManager[object]]] = {
            CLOSED: nullcontext,
            STREAM: lambda: _stream_read(busy.admin_url),
            YIELDING: lambda: _console_open(yielding, busy),
            BROWSER: lambda: _console_open(plain, busy),
        }

        def block(name: str) -> Open:
            with opened[name]():
                return open_loop(busy.service.url + _SCORE, busy.bodies, rate, seconds, work / "open", _WARM_UP_S)

        seen = in_turn({name: partial(block, name) for name in opened}, 1 + rounds)
    counted = {name: blocks[1:] for name, blocks in seen.items()}
    return Beside(
        rate=rate,
        blocks={name: [one.summary() for one in blocks] for name, blocks in counted.items()},
        pooled_p99_ms={
            name: float(np.quantile(np.concatenate([one.latency_ms for one in blocks]), 0.99))
            for name, blocks in counted.items()
        },
        errors=sum(one.errors for blocks in counted.values() for one in blocks),
    )


@contextmanager
def _console_open(running: "Browser", busy: Busy) -> Iterator[None]:
    with viewer(running) as looking:
        looking.page.goto(busy.console_url)
        looking.page.wait_for_timeout(_SETTLE_MS)
        yield
        if not looking.events_a_second() or looking.complaints or looking.failures:
            raise SetupError(f"the console was not live: {looking.complaints + looking.failures}")


@contextmanager
def _stream_read(admin_url: str) -> Iterator[None]:
    """Read the console's stream in a thread that does nothing else."""
    ended, pieces = threading.Event(), [0]

    def read() -> None:
        with (
            httpx.Client(trust_env=False, timeout=30) as client,
            client.stream("GET", f"{admin_url}/console/api/live") as answer,
        ):
            for _ in answer.iter_raw():
                pieces[0] += 1
                if ended.is_set():
                    return

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield
    finally:
        ended.set()
        reading.join()
    if pieces[0] < _LEAST_PIECES:
        raise SetupError(f"the console's stream told only {pieces[0]} pieces")

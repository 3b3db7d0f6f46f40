"""What metrics cost: closed-loop scores by one service with its counting on, off, and on while it is scraped.

A closed loop keeps one processor full, so throughput is requests over the processor time that the service took for
them: what else runs on the machine disturbs that least.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil

from benchmarks.console import switchable
from benchmarks.console.rounds import in_turn
from benchmarks.meanwhile import meanwhile
from benchmarks.serving.processes import Running, announced, running, until
from benchmarks.serving.scoring import CONNECTIONS, SCORE
from benchmarks.serving.series import Series
from benchmarks.serving.world import World, write_bodies
from benchmarks.serving.wrk import closed_loop
from contract.errors import SetupError

ON, OFF, SCRAPED = "on", "off", "on, scraped each second"
CANDIDATES = (10, 100)
_BODIES = 500
_SCRAPES = 100
_COUNTED = re.compile(r'^winnow_requests_total\{route="/v1/score",status="2xx"\} (\S+)', re.MULTILINE)


@dataclass(frozen=True)
class Counting:
    """Requests a second of the service's processor time in each round, by number of candidates and by what was on."""

    rates: Mapping[int, Mapping[str, Series]]
    counting_us: float  # processor time of counting one score
    scrape_ms: float  # processor time of the service for one scrape

    def ratio(self, candidates: int, name: str) -> Series:
        """Return throughput over that without counting, round by round."""
        return self.rates[candidates][name].over(self.rates[candidates][OFF])

    def share(self, candidates: int) -> float:
        """Return the share of a request's time that counting takes, by its processor time."""
        return self.counting_us * 1e-6 * self.rates[candidates][ON].median

    @property
    def scrape_share(self) -> float:
        """Return the share of a processor that a scrape a second takes."""
        return self.scrape_ms / 1000


@contextmanager
def switchable_service(home: Path) -> Iterator[Running]:
    """Run `winnow serve` with a switch on its counting."""
    announce = home / "switchable.json"
    announce.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.console.switchable", "serve", "--port", "0"]
    environment = {"WINNOW_HOME": str(home), "WINNOW_LOG_JSON": "true", "WINNOW_MAX_QUEUE_S": "10"}  # nothing is shed
    with running([*command, "--announce", str(announce)], home / "logs" / "switchable.log",
                 lambda: announced(announce), environment) as service:  # fmt: skip
        yield service


def counting(service: Running, world: World, work: Path, rounds: int, seconds: float) -> Counting:
    """Measure every size. Raises SetupError if the switch does not work, or a request is not answered well."""
    counting_us, rates = _counting_us(), {}
    for size in CANDIDATES:
        bodies = write_bodies(world.requests(size, _BODIES, seed=size), work / f"count-{size}.txt")
        turns = {name: partial(_rate, service, bodies, name, seconds) for name in (ON, OFF, SCRAPED)}
        seen = in_turn(turns, 1 + rounds)
        rates[size] = {name: Series(tuple(values[1:])) for name, values in seen.items()}
    _switch(service, on=True)
    return Counting(rates, counting_us, _scrape_ms(service))


def _rate(service: Running, bodies: Path, name: str, seconds: float) -> float:
    _switch(service, on=name != OFF)
    before, spent_s = _counted(service), _processor_s(service)
    with _scraped(service) if name == SCRAPED else nullcontext():
        seen = closed_loop(service.url + SCORE, bodies, seconds, CONNECTIONS)
    spent_s = _processor_s(service) - spent_s
    if seen.errors:
        raise SetupError(f"{seen.errors} of {seen.requests} requests were not answered well")
    counts = _counted(service) - before >= seen.requests
    if counts == (name == OFF):
        raise SetupError(f"counting was to be {name}, and {_counted(service) - before:.0f} requests were counted")
    return seen.requests / spent_s


def _switch(service: Running, on: bool) -> None:
    os.kill(service.pid, switchable.ON if on else switchable.OFF)

    def switched() -> bool:
        before = _counted_routes(service)
        return (_counted_routes(service) > before) == on

    until(switched, 5.0, f"counting {'on' if on else 'off'}")


@contextmanager
def _scraped(service: Running) -> Iterator[None]:
    with (
        httpx.Client(base_url=service.url, trust_env=False) as client,
        meanwhile(lambda: client.get("/metrics").raise_for_status(), 1.0),
    ):
        yield


def _counted(service: Running) -> float:
    found = _COUNTED.search(httpx.get(f"{service.url}/metrics", trust_env=False, timeout=10).text)
    return float(found[1]) if found else 0.0


def _counted_routes(service: Running) -> float:
    text = httpx.get(f"{service.url}/metrics", trust_env=False, timeout=10).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("winnow_requests_total{"))


def _counting_us() -> float:
    command = [sys.executable, "-m", "benchmarks.console.switchable", "cost"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _scrape_ms(service: Running) -> float:
    """Return the processor time of the service for one scrape, less what it takes while it is left alone."""
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        began, before = time.monotonic(), _processor_s(service)
        for _ in range(_SCRAPES):
            client.get("/metrics").raise_for_status()
        busy, took = _processor_s(service) - before, time.monotonic() - began
    before = _processor_s(service)
    time.sleep(took)
    return 1000 * (busy - (_processor_s(service) - before)) / _SCRAPES


def _processor_s(service: Running) -> float:
    times = psutil.Process(service.pid).cpu_times()
    return float(times.user + times.system)

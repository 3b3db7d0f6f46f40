"""Versions that change under load: a storm of them, and rollbacks. Each answer is one version's own (P4, P6)."""

import contextlib
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.chaos import offered
from benchmarks.chaos.expected import write_expected
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.meanwhile import meanwhile
from benchmarks.serving.processes import Running, until, winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, write_bodies
from contract.errors import ChampionPinned, SetupError
from contract.registry import Registry

SCORE = "/v1/score"
CANDIDATES = 100
RATE = 500.0
DIM = 64
USERS, ITEMS = 100_000, 20_000
EVERY_S = 0.05
P99_BAR = 1.2
MEMORY_BAR = 1.05
DRILL_S = 5.0
ROLLBACK_BAR_S = 5.0
_PUBLISHED_S = 0.5  # before a rollback, so that there is something to roll back; and before it is undone
_SWAPS = "winnow_model_swap_seconds_count"
_BODIES = 100
_DELTAS = 8
_STEADY_S = 8.0
_QUICKLY = {"WINNOW_RELOAD_POLL_S": "0.01"}
_TAKEN_OVER_S = 30.0


@scenario(
    fault="a version promoted every 50 ms, whole ones and deltas in turn, at 500 requests/s",
    invariant="no errors; each answer is what the version it names says, to 1e-6; p99 at most 1.2 x that of the same "
    "load without swaps; memory at most 5 % more after it",
)
def reload_storm(directory: Path, effort: Effort) -> Outcome:
    """Promote without a pause."""
    return storm(directory, seconds=effort.of(30, 1_800), users=USERS, items=ITEMS, steady_s=_STEADY_S)


def storm(directory: Path, seconds: float, users: int, items: int, steady_s: float) -> Outcome:
    """Offer one schedule: steady, the storm, steady again."""
    registry, bodies, expected, order = _prepared(directory, users, items)
    with winnow_service(directory / "home", **_QUICKLY) as service:
        _settle(registry, service, order)
        before = _memory(registry, service, order[0])
        swaps = _swaps(service)
        whole_s = 2 * steady_s + seconds
        begun = offered.start([service.url], SCORE, bodies, RATE, whole_s, directory / "sent", expected=expected)
        start_s = begun[0][1].start_s + steady_s
        promoted = _promote_every(registry, order, start_s, seconds, EVERY_S)
        seen = offered.finish(begun)
        swaps = _swaps(service) - swaps
        after = _memory(registry, service, order[0])
    stormy = seen.between(steady_s, steady_s + seconds)
    calm = seen.where(~np.isin(seen.due_s, stormy.due_s))
    ratio = stormy.quantile_ms(0.99) / calm.quantile_ms(0.99)
    growth = max(now / then for now, then in zip(after, before, strict=True))
    errors, wrong = int((~seen.good).sum()), int(seen.wrong.sum())
    figures: dict[str, Figure] = {
        "requests": len(seen.status),
        "promotions": promoted,
        "swaps": swaps,
        "versions_that_answered": len(set(stormy.version.tolist())),
        "errors": errors,
        "wrong_answers": wrong,
        "steady_p50_ms": round(calm.quantile_ms(0.5), 3),
        "storm_p50_ms": round(stormy.quantile_ms(0.5), 3),
        "steady_p99_ms": round(calm.quantile_ms(0.99), 3),
        "storm_p99_ms": round(stormy.quantile_ms(0.99), 3),
        "storm_p99.9_ms": round(stormy.quantile_ms(0.999), 3),
        "p99_ratio": round(ratio, 2),
        "memory_ratio": round(growth, 3),
        "sender_late_p99_ms": round(float(np.quantile(seen.late_ms, 0.99)), 3),
    }
    broken = [
        f"{errors} errors: {seen.fates()}" if errors else "",
        f"{wrong} answers are not their version's: {seen.complaint}" if wrong else "",
        f"memory is {growth:.3f} x that before, the bar is {MEMORY_BAR}" if not growth <= MEMORY_BAR else "",
        "no swap happened" if not swaps else "",
    ]
    missed = [f"p99 is {ratio:.2f} x that without swaps, the bar is {P99_BAR}" if not ratio <= P99_BAR else ""]
    return Outcome.of(figures, broken, missed)


@scenario(
    fault="`winnow models rollback`, again and again, at 500 requests/s, while a publisher goes on promoting",
    invariant="the version before answers within 5 s and stays until it is unpinned; no errors; each answer is its "
    "version's own",
)
def rollback_under_load(directory: Path, effort: Effort) -> Outcome:
    """Roll back by the command."""
    return rollbacks(directory, times=effort.of(8, 20), users=USERS, items=ITEMS)


def rollbacks(directory: Path, times: int, users: int, items: int) -> Outcome:
    """Roll back `times` over, every few seconds of one schedule; the time counts from the start of the command."""
    registry, bodies, expected, order = _prepared(directory, users, items)
    took, overwritten, unserved = [], 0, 0
    with winnow_service(directory / "home") as service:
        _settle(registry, service, order)
        seconds = DRILL_S * times
        begun = offered.start([service.url], SCORE, bodies, RATE, seconds, directory / "sent", expected=expected)
        for number in range(times):
            drill_s = begun[0][1].start_s + DRILL_S * number
            with _publishing(registry, order):
                _sleep_until(drill_s + _PUBLISHED_S)
                started = time.monotonic()
                _roll_back(directory / "home")
                good = registry.champion()
                assert good is not None
                try:
                    until(lambda: _served(service) == good.version, _TAKEN_OVER_S, "the rollback")  # noqa: B023
                except SetupError:
                    unserved += 1
                took.append(time.monotonic() - started)
                _sleep_until(drill_s + DRILL_S - _PUBLISHED_S)
                overwritten += registry.champion() != good or _served(service) != good.version
            registry.unpin("the drill is over")
        seen = offered.finish(begun)
    errors, wrong = int((~seen.good).sum()), int(seen.wrong.sum())
    figures: dict[str, Figure] = {
        "rollbacks": times,
        "median_s": round(float(np.median(took)), 3),
        "max_s": round(max(took), 3),
        "overwritten": overwritten,
        "requests": len(seen.status),
        "errors": errors,
        "wrong_answers": wrong,
        "p99_ms": round(seen.quantile_ms(0.99), 3),
    }
    broken = [
        f"{errors} errors: {seen.fates()}" if errors else "",
        f"{wrong} answers are not their version's: {seen.complaint}" if wrong else "",
        f"a rollback took {max(took):.2f} s, the bar is {ROLLBACK_BAR_S:g} s" if max(took) > ROLLBACK_BAR_S else "",
        f"{overwritten} rollbacks did not last" if overwritten else "",
        f"{unserved} rollbacks were never served" if unserved else "",
    ]
    why = "; ".join(part for part in broken if part)
    return Outcome(not why, figures, why)


def _prepared(directory: Path, users: int, items: int) -> tuple[Registry, Path, Path, list[str]]:
    """Return a registry, requests, what they must be answered, and versions in the order of promotion."""
    world = World.of(users, items)
    versions = Versions(directory / "home", world, dim=DIM)
    whole = versions.whole(1)
    order = versions.deltas(_DELTAS) + whole
    asked = world.requests(CANDIDATES, _BODIES, seed=2)
    bodies = write_bodies(asked, directory / "bodies.txt")
    every = versions.registry.versions()  # the whole version that the deltas stand on among them
    return (
        versions.registry,
        bodies,
        write_expected(versions.registry, every, asked, directory / "expected.json"),
        order,
    )


def _settle(registry: Registry, service: Running, order: list[str]) -> None:
    """Let every version be served once, so that what is allocated for the first time is."""
    for version in order:
        _take_over(registry, service, version)


def _take_over(registry: Registry, service: Running, version: str) -> None:
    registry.promote(version, "a scenario of swaps")
    until(lambda: _served(service) == version, _TAKEN_OVER_S, f"the swap to version {version}")


def _served(service: Running) -> str:
    reply = httpx.get(service.url + "/readyz", timeout=10, trust_env=False).raise_for_status()
    return str(reply.json()["model"]["version"])


def _swaps(service: Running) -> int:
    exposition = httpx.get(service.url + "/metrics", timeout=10, trust_env=False).raise_for_status().text
    return next(int(float(line.split()[1])) for line in exposition.splitlines() if line.startswith(_SWAPS))


def _memory(registry: Registry, service: Running, version: str) -> tuple[int, int]:
    """Return RSS and USS in bytes while one version is mapped, the same each time."""
    _take_over(registry, service, version)
    process = psutil.Process(service.pid)

    def alone() -> bool:
        mapped = {Path(one.path).parent.name for one in process.memory_maps() if "/registry/versions/" in one.path}
        return len(mapped) <= 2  # a delta and its base

    until(alone, _TAKEN_OVER_S, "the end of the versions before")
    info = process.memory_full_info()
    return info.rss, info.uss


def _promote_every(registry: Registry, order: list[str], start_s: float, seconds: float, every_s: float) -> int:
    """Promote by a fixed schedule; return how often."""
    count = round(seconds / every_s)
    for number, version in zip(range(count), cycle(order), strict=False):
        _sleep_until(start_s + number * every_s)
        registry.promote(version, "a storm")
    return count


def _publishing(registry: Registry, order: list[str]) -> AbstractContextManager[None]:
    """Promote as a trainer does, every EVERY_S, until the block ends; a pin is no reason to stop trying."""
    versions = cycle(order)

    def publish() -> None:
        with contextlib.suppress(ChampionPinned):
            registry.promote(next(versions), "a publisher")

    return meanwhile(publish, EVERY_S)


def _roll_back(home: Path) -> None:
    command = [sys.executable, "-m", "winnow", "models", "rollback", "--home", str(home), "--why", "a drill"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))

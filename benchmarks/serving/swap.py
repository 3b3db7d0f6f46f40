"""What a swap costs those who ask meanwhile, and whether memory comes back after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import httpx
import psutil

from benchmarks.meanwhile import meanwhile
from benchmarks.serving.open_loop import Open, open_loop
from benchmarks.serving.processes import Running, until
from benchmarks.serving.world import World, write_bodies
from contract.registry import Registry

SCORE = "/v1/score"
CANDIDATES = 100
_TAKEN_OVER_S = 30.0


@dataclass(frozen=True)
class Memory:
    """Memory of the service after a number of swaps, in bytes."""

    swaps: int
    pss: int
    uss: int
    rss: int


@dataclass(frozen=True)
class Calm:
    """The same load without and with a swap a second, one after the other."""

    steady: dict[str, float]
    swapping: dict[str, float]
    versions: int  # that answered while swapping
    swaps: int
    errors: int
    unnamed: int

    @property
    def p99_ratio(self) -> float:
        """The p99 with swaps over the p99 without."""
        return self.swapping["p99_ms"] / self.steady["p99_ms"]


def under_load(
    world: World,
    service: Running,
    registry: Registry,
    versions: Sequence[str],
    rate: float,
    work: Path,
    seconds: float,
    every_s: float,
) -> Calm:
    """Offer scores by a fixed schedule, first steady, then while one of `versions` is promoted every `every_s`."""
    bodies = write_bodies(world.requests(CANDIDATES, 500, seed=3), work / "swap.txt")

    def offer() -> Open:
        return open_loop(service.url + SCORE, bodies, rate, seconds, work / "open")

    steady = offer()
    order = cycle(versions)
    promoted: list[str] = []

    def promote() -> None:
        version = next(order)
        registry.promote(version, "a bench of swaps")
        promoted.append(version)

    with meanwhile(promote, every_s):
        swapping = offer()
    return Calm(
        steady=steady.summary(),
        swapping=swapping.summary(),
        versions=len(swapping.versions.keys() - {""}),
        swaps=len(promoted),
        errors=steady.errors + swapping.errors,
        unnamed=steady.unnamed + swapping.unnamed,
    )


def memory_after(
    service: Running, registry: Registry, versions: Sequence[str], world: World, swaps: int, every: int
) -> list[Memory]:
    """Swap again and again, each once the one before has answered; return memory after the 10th and each `every`."""
    first = min(10, swaps)
    asked = world.requests(CANDIDATES, 1, seed=4)[0]
    seen = []
    with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client:
        for number in range(1, swaps + 1):
            wanted = versions[number % len(versions)]
            registry.promote(wanted, "a bench of memory")
            until(lambda: _answers_as(client, asked, wanted), _TAKEN_OVER_S, f"the swap to version {wanted}")  # noqa: B023
            if number == first or (number > first and number % every == 0):
                seen.append(_memory(service.pid, number))
    return seen


def _answers_as(client: httpx.Client, body: bytes, version: str) -> bool:
    reply = client.post(SCORE, content=body, headers={"content-type": "application/json"})
    return str(reply.raise_for_status().json()["model"]["version"]) == version


def _memory(pid: int, swaps: int) -> Memory:
    process = psutil.Process(pid)
    until(lambda: len(_mapped(process)) == 1, _TAKEN_OVER_S, "the end of the versions before")
    info = process.memory_full_info()
    return Memory(swaps, info.pss, info.uss, info.rss)


def _mapped(process: psutil.Process) -> set[Path]:
    """Return the directories of the versions whose tables a process has mapped."""
    return {Path(one.path).parent for one in process.memory_maps(grouped=True) if "/registry/versions/" in one.path}

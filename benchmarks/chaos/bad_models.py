"""Bad versions, one after the other, before a service that scores all the while: none is ever served (P4, P6).

Each is a copy of one good version under a number of its own, made champion through the registry as a publisher would.
A service remembers what it refused, so what it says of a number is what it found in it.
"""

import contextlib
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.chaos.handcrafted import HANDCRAFTED, digest_again, spoil
from benchmarks.chaos.mutants import MUTATIONS, answers_of, mutate
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.chaos.worse import rejected_share
from benchmarks.meanwhile import meanwhile
from benchmarks.serving.processes import Running, winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World
from contract.errors import SetupError
from contract.manifest import MANIFEST_FILE
from contract.registry import Registry

USERS, ITEMS, CANDIDATES = 40, 30, 20
_SMALL = {"dim": 8, "user_capacity": 64, "item_capacity": 64, "side_rows": 1_024}
_QUICKLY = {"WINNOW_RELOAD_POLL_S": "0.01", "WINNOW_LOG_LEVEL": "error"}
_TOLD_S = 20.0
_SLOWEST_S = 5.0
_MEMORY_BAR = 256 << 20
_LOOK_S = 0.003
_PAUSE_S = 0.01


@scenario(
    fault="a champion with a bit flipped, its end cut off, or its end zeroed, in any of its files, the manifest too",
    invariant="none is served, each is refused with a reason, and every score is what the good version says",
)
def mutants_of_a_version(directory: Path, effort: Effort) -> Outcome:
    """Promote mutants; then such whose digests were made again, of which the figures say how many were told."""
    return mutants(directory, effort.of(1_000, 5_000), effort.of(200, 1_000), effort.seed)


def mutants(directory: Path, count: int, redigested: int, seed: int) -> Outcome:
    """Promote so many mutants of each kind."""
    random = np.random.default_rng(seed)
    with _service(directory) as stage:
        files = sorted(path.name for path in stage.good.iterdir())
        kinds, served = Counter[str](), list[str]()
        with stage.scoring() as seen:
            for number in range(count):
                name, mutation = files[number % len(files)], MUTATIONS[number // len(files) % len(MUTATIONS)]
                copy = stage.copy()
                what = mutate(copy / name, mutation, random)
                refused = stage.promote(copy)
                kinds[mutation] += 1
                if refused is None:
                    served.append(f"{name}: {what}")
                shutil.rmtree(copy)
        told = _redigested(stage, [name for name in files if name != MANIFEST_FILE], redigested, random)
    figures: dict[str, Figure] = {"mutants": count, **kinds, "served": len(served), "refused": count - len(served),
        "scores": seen.count, "errors": len(seen.errors), "wrong_answers": seen.wrong, **told}  # fmt: skip
    broken = [f"{len(served)} mutants were served: {served[:3]}" if served else "", *seen.broken()]
    why = "; ".join(part for part in broken if part)
    return Outcome(not why, figures, why)


def _redigested(stage: "_Stage", files: list[str], count: int, random: np.random.Generator) -> dict[str, Figure]:
    """Promote mutants whose digests agree, and say what became of them; all known pairs are asked for."""
    right, _ = answers_of(stage.good, stage.world)
    alike = differ = refused = 0
    for number in range(count):
        copy = stage.copy()
        mutate(copy / files[number % len(files)], MUTATIONS[number // len(files) % len(MUTATIONS)], random)
        digest_again(copy)
        if stage.promote(copy) is not None:
            refused += 1
        else:
            found, tolerance = answers_of(copy, stage.world)
            same = bool((np.abs(found - right) <= tolerance).all())
            alike, differ = alike + same, differ + (not same)
            stage.restore()
        shutil.rmtree(copy)
    return {
        "redigested": count,
        "redigested_refused": refused,
        "redigested_served_alike": alike,
        "redigested_served_though_answers_differ": differ,
    }


@scenario(
    fault=f"{len(HANDCRAFTED)} bad models made by hand, with digests that are right: NaN, swaps, files outside, claims "
    "of gigabytes, a million nodes, pipes; and candidates with an AUC 0.05 below the champion's, before the gate",
    invariant="each is refused with its own reason within 5 s and 256 MiB, and every score is what the good version "
    "says; 95 of 100 worse candidates are rejected on a holdout with 1,000 positives",
)
def handcrafted_bad_models(directory: Path, effort: Effort) -> Outcome:
    """Promote each of them."""
    slowest, wrong = 0.0, list[str]()
    with _service(directory) as stage:
        process = psutil.Process(stage.service.pid)
        before = process.memory_info().rss
        most = 0
        with stage.scoring() as seen:
            for bad in HANDCRAFTED * effort.of(1, 20):
                copy = stage.copy()
                spoil(copy, bad)
                started = time.monotonic()
                refused = stage.promote(copy)
                slowest = max(slowest, time.monotonic() - started)
                most = max(most, process.memory_info().rss - before)
                if refused is None or not re.search(bad.reason, refused):
                    wrong.append(f"{bad.name}: {refused or 'served'}")
                shutil.rmtree(copy)
    worse = rejected_share(positives=1_000, negatives=19_000, drop=0.05, times=effort.of(100, 1_000), seed=effort.seed)
    few = rejected_share(positives=100, negatives=1_900, drop=0.05, times=effort.of(100, 1_000), seed=effort.seed)
    alike = rejected_share(positives=1_000, negatives=19_000, drop=0.0, times=effort.of(100, 1_000), seed=effort.seed)
    figures: dict[str, Figure] = {"bad_models": len(HANDCRAFTED), "not_refused_as_they_must_be": len(wrong),
        "slowest_s": round(slowest, 3), "memory_growth_mib": round(most / 2**20, 1), "scores": seen.count,
        "errors": len(seen.errors), "wrong_answers": seen.wrong, "worse_rejected_with_1000_positives": worse,
        "worse_rejected_with_100_positives": few, "as_good_rejected": alike}  # fmt: skip
    broken = [
        f"{len(wrong)} were not refused as they must be: {wrong[:3]}" if wrong else "",
        f"one took {slowest:.1f} s, the bar is {_SLOWEST_S:g} s" if slowest > _SLOWEST_S else "",
        f"memory grew by {most >> 20} MiB, the bar is {_MEMORY_BAR >> 20}" if most > _MEMORY_BAR else "",
        f"the gate rejected {worse:.0%} of worse candidates" if worse < 0.95 else "",
        *seen.broken(),
    ]
    why = "; ".join(part for part in broken if part)
    return Outcome(not why, figures, why)


@dataclass
class _Seen:
    """What a caller saw who scored without a pause."""

    count: int = 0
    wrong: int = 0
    errors: list[str] = field(default_factory=list)
    first: Any = None  # version and items of the first answer

    def broken(self) -> list[str]:
        return [
            f"{len(self.errors)} scores failed: {self.errors[:3]}" if self.errors else "",
            f"{self.wrong} answers are not the good version's" if self.wrong else "",
            "" if self.count else "nothing was scored",
        ]


@dataclass
class _Stage:
    """A service on a good version, and copies of it to be spoiled."""

    service: Running
    registry: Registry
    world: World
    good: Path
    client: httpx.Client
    numbers: Iterator[int]

    def copy(self) -> Path:
        directory = self.registry.versions_directory / f"{next(self.numbers):06d}"
        shutil.copytree(self.good, directory)
        return directory

    def promote(self, copy: Path) -> str | None:
        """Make a copy champion; return why it was refused, or None if it is served."""
        self.registry.promote(copy.name, "a scenario of bad models")
        deadline = time.monotonic() + _TOLD_S
        while time.monotonic() < deadline:
            told = self.told()
            if (reason := told["refused"].get(copy.name)) is not None:
                return str(reason)
            if told["serving"]["version"] == copy.name:
                return None
            time.sleep(_LOOK_S)  # the time until it is told is a figure, so it looks often
        raise SetupError(f"version {copy.name} was neither served nor refused within {_TOLD_S:g} s")

    def restore(self) -> None:
        """Serve the good version again."""
        if self.promote(self.good) is not None:
            raise SetupError("the good version was refused")

    def told(self) -> dict[str, Any]:
        reply: dict[str, Any] = self.client.get("/v1/models").raise_for_status().json()
        return reply

    @contextlib.contextmanager
    def scoring(self) -> Iterator[_Seen]:
        """Score one request over and over until the block ends; every answer must be as the first."""
        body = self.world.requests(CANDIDATES, 1, seed=3)[0]
        seen = _Seen()

        def score() -> None:
            try:
                reply = client.post("/v1/score", content=body).raise_for_status().json()
            except httpx.HTTPError as error:
                seen.errors.append(repr(error))
                return
            answer = reply["model"]["version"], reply["items"]
            seen.first = seen.first or answer
            seen.count += 1
            seen.wrong += answer != seen.first or answer[0] != self.good.name

        with (
            httpx.Client(base_url=self.service.url, timeout=10, trust_env=False) as client,
            meanwhile(score, _PAUSE_S),
        ):
            yield seen


@contextlib.contextmanager
def _service(directory: Path) -> Iterator[_Stage]:
    world = World.of(USERS, ITEMS)
    versions = Versions(directory / "home", world, **_SMALL)
    [good] = versions.whole(1)
    with (
        winnow_service(directory / "home", **_QUICKLY) as service,
        httpx.Client(base_url=service.url, timeout=10, trust_env=False) as client,
    ):
        path = versions.registry.path(good)
        stage = _Stage(service, versions.registry, world, path, client, iter(range(int(good) + 1, 10**6)))
        if stage.told()["serving"]["version"] != good:
            stage.restore()
        yield stage

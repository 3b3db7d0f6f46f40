"""From the start of a process to its first use: a service that scores by the champion, a trainer at work (P3, P4)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import numpy as np

from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.ingest import log_url
from benchmarks.serving.processes import free_port, until, winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, batches
from contract.registry import Registry

SERVICE_BAR_S = 5.0
TRAINER_BAR_S = 15.0
USERS, ITEMS, DIM = 100_000, 20_000, 64
_EVENTS = 1_000
_LONGEST_S = 120.0


@scenario(
    fault="service and trainer started anew, again and again; the trainer also without a cache of compiled loops",
    invariant="scores by the champion within 5 s; the trainer at work within 15 s, its loops compiled before",
)
def cold_start(directory: Path, effort: Effort) -> Outcome:
    """Start them."""
    return started(directory, times=effort.of(5, 20), users=USERS, items=ITEMS)


def started(directory: Path, times: int, users: int, items: int) -> Outcome:
    """Start each `times` over, and the trainer once with an empty cache."""
    home = directory / "home"
    world = World.of(users, items)
    champion = Versions(home, world, dim=DIM).whole(1)[0]
    asked = world.requests(100, 1, seed=2)[0]
    service_s = [_service_s(home, champion, asked) for _ in range(times)]
    with winnow_service(directory / "log") as keeper:  # its event log is what the trainers read
        url = log_url(directory / "log")
        cache = {"NUMBA_CACHE_DIR": str(directory / "numba")}

        def trainer(name: str, seed: int) -> float:
            _tell(keeper.url, world, seed)  # anew: what a trainer before it has learned is trimmed
            return _trainer_s(directory / name, url, cache)

        cold_s = trainer("cold", 3)
        trainer_s = [trainer(f"warm-{number}", 4 + number) for number in range(times)]
    figures: dict[str, Figure] = {
        "starts": times,
        "service_median_s": round(float(np.median(service_s)), 2),
        "service_max_s": round(max(service_s), 2),
        "trainer_median_s": round(float(np.median(trainer_s)), 2),
        "trainer_max_s": round(max(trainer_s), 2),
        "trainer_cold_cache_s": round(cold_s, 2),
    }
    missed = [
        f"a service took {max(service_s):.1f} s" if max(service_s) > SERVICE_BAR_S else "",
        f"a trainer took {max(trainer_s):.1f} s" if max(trainer_s) > TRAINER_BAR_S else "",
    ]
    return Outcome.of(figures, [], missed)


def _tell(url: str, world: World, seed: int) -> None:
    (body,) = batches(world.watches(_EVENTS, seed=seed), _EVENTS)
    headers = {"content-type": "application/json"}
    httpx.post(url + "/v1/feedback", content=body, headers=headers, timeout=10, trust_env=False).raise_for_status()


def _service_s(home: Path, champion: str, asked: bytes) -> float:
    """Return the seconds until GET /readyz succeeds and a score names the champion."""
    url = f"http://127.0.0.1:{(port := free_port())}"

    def scores() -> bool:
        try:
            ready = httpx.get(url + "/readyz", timeout=2, trust_env=False).is_success
            headers = {"content-type": "application/json"}
            reply = httpx.post(url + "/v1/score", content=asked, headers=headers, timeout=2, trust_env=False)
        except httpx.TransportError:
            return False
        return ready and reply.is_success and reply.json()["model"]["version"] == champion

    return _seconds_until(scores, ["serve", "--home", str(home), "--port", str(port)], home / "service.log", {})


def _trainer_s(home: Path, redis_url: str, environment: Mapping[str, str]) -> float:
    """Return the seconds until a trainer without a checkpoint has learned what the log holds, and published it."""
    home.mkdir(parents=True)
    registry = Registry(home / "registry")
    command = ["train", "--home", str(home), "--redis-url", redis_url]
    return _seconds_until(
        lambda: bool(registry.versions() or registry.quarantined()), command, home / "trainer.log", environment
    )


def _seconds_until(
    condition: Callable[[], bool], arguments: list[str], log_file: Path, environment: Mapping[str, str]
) -> float:
    """Start `winnow` with arguments, and return how long the condition takes; then end it by SIGTERM."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "winnow", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(condition, _LONGEST_S, f"the start of winnow {arguments[0]}")
        return time.monotonic() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_LONGEST_S)

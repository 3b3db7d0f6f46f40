"""A whole loop with viewers: `winnow up`, and the simulator's watches played against it at a steady rate."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
import orjson

from benchmarks.serving.processes import Running, until, winnow_loop
from benchmarks.serving.world import write_bodies
from contract.errors import SetupError

CANDIDATES = 100
_BODIES = 500
_LOOKED_AT = 20_000  # rows of the log that ids are taken from
_READY_S = 120.0
_SETTINGS = {"WINNOW_TRAINER_METRICS_PORT": "0", "WINNOW_LOG_JSON": "true"}


@dataclass(frozen=True)
class Busy:
    """A loop that learns while it is looked at."""

    service: Running
    admin_url: str
    bodies: Path  # of score requests for ids that the viewers have

    @property
    def console_url(self) -> str:
        """The page."""
        return f"{self.admin_url}/console"


@contextmanager
def busy_loop(work: Path, rate: float, seconds: float, seed: int) -> Iterator[Busy]:
    """Run a loop in a fresh home while events come; yield once a version that has learned some is served.

    There are events for `seconds` and for getting there. Raises SetupError if none is served, or the player fails.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    log = work / "watches.csv"
    _run("simulate", str(log), "--events", str(round(rate * (seconds + _READY_S))), "--seed", str(seed))
    with winnow_loop(work / "home", **_SETTINGS) as service, _played(log, service, rate, work):
        until(lambda: _serves_a_version(service), _READY_S, "a version in service")
        admin_url = orjson.loads((work / "home" / "up.json").read_bytes())["admin_url"]
        yield Busy(service, admin_url, write_bodies(_requests(log), work / "scores.txt"))


@contextmanager
def _played(log: Path, service: Running, rate: float, work: Path) -> Iterator[None]:
    """Play a log in a process of its own. It has to be at it still when the block ends."""
    command = [sys.executable, "-m", "winnow", "replay", str(log), "--url", service.url, "--rate", str(rate)]
    with (work / "replay.log").open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
    try:
        yield
        if process.poll() is not None:
            raise SetupError(f"events ended early, with {process.returncode}; see {work / 'replay.log'}")
    finally:
        process.kill()
        process.wait()


def _run(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "winnow", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"winnow {words[0]} ended with {done.returncode}: {done.stderr[-300:]}")


def _serves_a_version(service: Running) -> bool:
    answer = httpx.get(f"{service.url}/v1/models", timeout=30, trust_env=False).raise_for_status()
    return any(one["trained_through_ms"] for one in answer.json()["served"])


def _requests(log: Path) -> list[bytes]:
    """Return bodies that ask for items and users of a log."""
    with log.open(newline="") as file:
        rows = list(islice(csv.DictReader(file), _LOOKED_AT))
    users, items = (sorted({row[name] for row in rows}) for name in ("user_id", "video_id"))
    random = np.random.default_rng(1)
    return [
        orjson.dumps(
            {"user_id": user, "candidates": random.choice(items, CANDIDATES, replace=False).tolist(), "surface": "1"}
        )
        for user in random.choice(users, _BODIES).tolist()
    ]

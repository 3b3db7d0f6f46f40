"""From the acknowledgement of an event to a version in service that has learned it, in the whole loop."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from benchmarks.serving.open_loop import open_loop
from benchmarks.serving.processes import Running, until
from benchmarks.serving.world import World, batches, write_bodies
from benchmarks.serving.wrk import JSON
from contract.errors import SetupError

FEEDBACK = "/v1/feedback"
BATCH = 256
_KNOWN_S = 300.0
_SERVED_S = 60.0


@dataclass(frozen=True)
class Freshness:
    """What became of the events offered."""

    offered: int
    acknowledged: int
    errors: int
    delays_s: npt.NDArray[np.float64]  # [acknowledged]; inf where no version covers an event
    versions: int  # taken over while events came
    seconds: float
    feedback: dict[str, float]  # latency of the feedback requests

    def quantile_s(self, share: float) -> float:
        """Return a quantile of the delays."""
        return float(np.quantile(self.delays_s, share, method="inverted_cdf"))

    @property
    def versions_per_minute(self) -> float:
        """How often the service took a version over."""
        return 60.0 * self.versions / self.seconds


def make_known(world: World, service: Running) -> None:
    """Tell of every user and item once, and wait until a version that knows them is served."""
    events = world.watches(max(len(world.users), len(world.items)), seed=5)
    with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client:
        for body in batches(events, BATCH):
            client.post(FEEDBACK, content=body, headers={"content-type": JSON}).raise_for_status()
    last_ms = time.time_ns() // 1_000_000
    until(lambda: _through_ms(served(service)) > last_ms, _KNOWN_S, "a version that knows every id")


def freshness(world: World, service: Running, rate: float, seconds: float, work: Path) -> Freshness:
    """Offer single events by a fixed schedule, and see when the versions that cover them were taken over."""
    told = batches(world.watches(round(rate * (seconds + 1)), seed=6), 1)
    bodies = write_bodies(told, work / "fresh.txt")
    seen = open_loop(service.url + FEEDBACK, bodies, rate, seconds, work / "open", warm_up_s=0.0)
    acknowledged = np.sort(seen.acknowledged_ms)
    last_ms = float(acknowledged[-1]) if len(acknowledged) else 0.0
    with suppress(SetupError):  # what is never served counts as infinitely late
        until(lambda: _through_ms(served(service)) > last_ms, _SERVED_S, "a version that covers the last event")
    taken_over = served(service)
    first_ms = float(seen.due_ms[0])
    return Freshness(
        offered=len(seen.status),
        acknowledged=len(acknowledged),
        errors=seen.errors,
        delays_s=seconds_to_served(acknowledged, taken_over),
        versions=sum(first_ms <= one["served_since_ms"] <= last_ms for one in taken_over),
        seconds=seconds,
        feedback=seen.summary(),
    )


def seconds_to_served(
    acknowledged_ms: npt.NDArray[np.float64], served: Sequence[dict[str, Any]]
) -> npt.NDArray[np.float64]:
    """Return how long each event took until a version that covers it was in service; inf where none was. Shape [N].

    `served` is what `GET /v1/models` says, in the order in which versions were taken over.
    """
    covering = [one for one in served if one["trained_through_ms"] is not None]
    since = np.array([one["served_since_ms"] for one in covering] + [np.inf])
    through = np.maximum.accumulate([one["trained_through_ms"] for one in covering] or [0.0])
    first = np.searchsorted(through, acknowledged_ms, side="right") if covering else np.zeros(len(acknowledged_ms), int)
    return np.asarray(np.maximum(since[first] - acknowledged_ms, 0.0) / 1e3)


def served(service: Running) -> list[dict[str, Any]]:
    """Return the versions that the service took over, oldest first."""
    reply = httpx.get(f"{service.url}/v1/models", timeout=30, trust_env=False).raise_for_status()
    found: list[dict[str, Any]] = reply.json()["served"]
    return found


def _through_ms(taken_over: Sequence[dict[str, Any]]) -> int:
    return max((one["trained_through_ms"] or 0 for one in taken_over), default=0)

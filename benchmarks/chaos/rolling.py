"""Two services behind the shipped nginx, restarted one after the other under load: nobody notices (P1, P7)."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.chaos import offered
from benchmarks.chaos.local_nginx import asks, local_nginx
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.ingest import log_url
from benchmarks.serving.processes import Running, free_port, until, winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, batches, write_bodies
from contract.blocks import decode_block
from contract.event_log import BEGINNING, EventLog
from contract.hashing import PARTITIONS

SCORE, FEEDBACK = "/v1/score", "/v1/feedback"
SCORES_PER_S, EVENTS_PER_S = 300.0, 30.0
_RESTART_S = 4.0  # one restart and some calm after it
_PATIENCE_S = 8.0  # the caller's; nginx itself tries for 8 s
_READY_S = 30.0


@dataclass
class Replica:
    """A service on a port that it keeps."""

    home: Path
    redis_url: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def running(self) -> Running:
        """As others are told of it."""
        assert self.process is not None
        return Running(f"http://127.0.0.1:{self.port}", self.process.pid)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "winnow", "serve", "--port", str(self.port)]
        environment = {**os.environ, "WINNOW_HOME": str(self.home), "WINNOW_REDIS_URL": self.redis_url}
        with (self.home / f"replica-{self.port}.log").open("ab") as output:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        url = self.running.url
        until(lambda: asks(url, "/readyz"), _READY_S, f"the replica on port {self.port}")

    def stop(self, number: int) -> None:
        """Send a signal, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(_READY_S)


@scenario(
    fault="SIGTERM to one of two services behind nginx, its start on the same port, then the other, under load",
    invariant="no failed request; every event acknowledged is stored",
    needs=("nginx",),
)
def rolling_restart(directory: Path, effort: Effort) -> Outcome:
    """Restart them in turn."""
    return rolled(directory, restarts=effort.of(10, 20), number=signal.SIGTERM)


@scenario(
    fault="SIGKILL to one of two services behind nginx, its start on the same port, then the other, under load",
    invariant="no failed request, nginx asking the other one; every event acknowledged is stored",
    needs=("nginx",),
)
def rolling_kill(directory: Path, effort: Effort) -> Outcome:
    """Kill them in turn."""
    return rolled(directory, restarts=effort.of(6, 20), number=signal.SIGKILL)


def rolled(directory: Path, restarts: int, number: signal.Signals) -> Outcome:
    """Restart `restarts` times while scores and events are offered."""
    world = World.of(2_000, 2_000)
    Versions(directory / "home", world).whole(1)
    scores = write_bodies(world.requests(100, 100, seed=2), directory / "scores.txt")
    seconds = _RESTART_S * restarts
    told = batches(world.watches(round(EVENTS_PER_S * seconds), seed=3), 1)
    events = write_bodies(told, directory / "events.txt")
    took = []
    with _log(directory / "home") as redis_url, _pair(directory / "home", redis_url) as pair:
        with local_nginx(directory / "nginx", [one.running for one in pair]) as nginx:
            ask, tell = (
                offered.start([nginx.url], path, bodies, rate, seconds, directory / path[4:], patience_s=_PATIENCE_S)
                for path, bodies, rate in ((SCORE, scores, SCORES_PER_S), (FEEDBACK, events, EVENTS_PER_S))
            )
            for turn in range(restarts):
                time.sleep(max(0.0, ask[0][1].start_s + _RESTART_S * turn + 0.5 - time.monotonic()))
                started = time.monotonic()
                pair[turn % 2].stop(number)
                pair[turn % 2].start()
                took.append(time.monotonic() - started)
            asked, said = offered.finish(ask), offered.finish(tell)
        stored = _stored(redis_url)
    acknowledged = {str(orjson.loads(body)["event_id"]) for body, good in zip(told, said.good, strict=False) if good}
    failed, unstored = int((~asked.good).sum() + (~said.good).sum()), len(acknowledged - stored)
    figures: dict[str, Figure] = {
        "restarts": restarts,
        "restart_median_s": round(float(np.median(took)), 2),
        "scores": len(asked.status),
        "score_p99_ms": round(asked.quantile_ms(0.99), 2),
        "score_max_ms": round(asked.quantile_ms(1.0), 2),
        "events": len(said.status),
        "acknowledged": len(acknowledged),
        "failed": failed,
        "acknowledged_not_stored": unstored,
    }
    broken = [
        f"{failed} requests failed: scores {asked.fates()}, events {said.fates()}" if failed else "",
        f"{unstored} acknowledged events are not stored" if unstored else "",
    ]
    why = "; ".join(part for part in broken if part)
    return Outcome(not why, figures, why)


@contextlib.contextmanager
def _log(home: Path) -> Iterator[str]:
    """Run an event log that outlives both replicas: that of a third service, which nobody asks."""
    with winnow_service(home, "keeper") as keeper:
        del keeper
        yield log_url(home)


@contextlib.contextmanager
def _pair(home: Path, redis_url: str) -> Iterator[list[Replica]]:
    pair = [Replica(home, redis_url, free_port()) for _ in range(2)]
    try:
        for one in pair:
            one.start()
        yield pair
    finally:
        for one in pair:
            one.stop(signal.SIGTERM)


def _stored(redis_url: str) -> set[str]:
    """Return the ids of every event in the log."""
    event_log = EventLog(redis_url)
    position = dict.fromkeys(range(PARTITIONS), BEGINNING)
    found: set[str] = set()
    while entries := event_log.read_after(position, 1_000).entries:
        for entry in entries:
            found |= set(decode_block(entry.block).event_id.tolist())
            position[entry.partition] = max(position[entry.partition], entry.id)
    event_log.close()
    return found

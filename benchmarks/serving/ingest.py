"""How many events a second are taken in, on disk before they are acknowledged, and how fast they are then learned.

The event log is the one that `winnow serve` starts itself: Valkey with `appendfsync always`, on the disk of the work
directory.
"""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis
from structlog.testing import capture_logs

from benchmarks.serving.processes import Running, until, winnow_service
from benchmarks.serving.series import Series
from benchmarks.serving.world import World, batches, write_bodies
from benchmarks.serving.wrk import JSON, finish, start
from contract.errors import SetupError
from contract.event_log import EventLog
from trainer.app import make_worker
from trainer.settings import TrainerSettings

FEEDBACK = "/v1/feedback"
BATCH = 256
CONNECTIONS = 32
_LOG_SOCKET = Path("redis") / "server.sock"
_ROOM = "10000000"  # entries a partition: nothing reads the log while it is filled


@dataclass(frozen=True)
class Learned:
    """What draining a full log took."""

    events: int
    wall: Series  # events a second
    cpu: Series  # events a second of CPU time


@contextmanager
def services(home: Path, workers: int) -> Iterator[list[Running]]:
    """Run services on one event log of their own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                winnow_service(home, f"service-{number}", WINNOW_LOG_MAX_ENTRIES=_ROOM, WINNOW_APPEND_TIMEOUT_S="10")
            )
            for number in range(workers)
        ]


def accepted(
    home: Path,
    running: Sequence[Running],
    world: World,
    events: int,
    size: int,
    work: Path,
    rounds: int,
    seconds: float,
) -> Series:
    """Return events a second acknowledged by all services together, one wrk on each, after a round of warm-up."""
    files = [
        write_bodies(batches(world.watches(events, seed=31 + number), size), work / f"events-{size}-{number}.txt")
        for number in range(len(running))
    ]
    rates = []
    for _ in range(rounds + 1):
        _empty(home)
        runs: list[subprocess.Popen[bytes]] = [
            start(service.url + FEEDBACK, file, seconds, CONNECTIONS, JSON)
            for service, file in zip(running, files, strict=True)
        ]
        seen = [finish(run, seconds) for run in runs]
        if failed := sum(one.errors for one in seen):
            raise SetupError(f"{failed} feedback requests failed: {seen}")
        rates.append(sum(one.rate * size for one in seen))
    return Series(tuple(rates[1:]))


def learned(home: Path, service: Running, world: World, events: int, rounds: int) -> Learned:
    """Fill an empty log over HTTP with new events, then time how a new trainer drains it; once to warm up.

    The checkpoint at the end is in the time. The trainer runs in this process, on one thread.
    """
    url = log_url(home)
    wall, cpu = [], []
    for number in range(rounds + 1):
        _empty(home)
        settings = TrainerSettings(home=home / f"trainer-{number}", redis_url=url, device="cpu")
        worker = make_worker(settings)
        with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as client:
            for body in batches(world.watches(events, seed=77 + number), BATCH):
                client.post(FEEDBACK, content=body, headers={"content-type": JSON}).raise_for_status()
        until(lambda: _is_over(url, settings.window_ms), 10.0, "the end of the last window")  # noqa: B023
        started, busy = time.monotonic(), time.process_time()
        with capture_logs():
            worker.drain()
        wall.append(events / (time.monotonic() - started))
        cpu.append(events / (time.process_time() - busy))
        if worker.account.trained != events:
            raise SetupError(f"{worker.account.trained} of {events} events were learned")
    return Learned(events, Series(tuple(wall[1:])), Series(tuple(cpu[1:])))


def _is_over(url: str, window_ms: int) -> bool:
    """Return whether the window of the newest entry is over by the log's clock, so that the trainer need not wait."""
    log = EventLog(url)
    newest = log.last()
    now_ms = log.read_after(newest, 1).complete_before_ms
    log.close()
    return now_ms // window_ms > max(entry.ms for entry in newest.values()) // window_ms


def _empty(home: Path) -> None:
    """Forget what the log holds, so that a round costs no more memory than the one before."""
    with redis.Redis.from_url(log_url(home)) as client:
        client.flushall()


def log_url(home: Path) -> str:
    """Return where the event log of a home listens. Raises SetupError where the path is too long for a socket."""
    socket = home.resolve() / _LOG_SOCKET
    if not socket.is_socket():
        raise SetupError(f"{socket} is no socket: its path is too long for one; choose a shorter --work")
    return f"unix://{socket}"

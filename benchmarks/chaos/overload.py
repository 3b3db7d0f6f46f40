"""Five times what the service can answer: it goes on answering as many as it can, and says no to the rest (P7).

Capacity is measured first, by a closed loop. Then an open loop offers five times as much, from many connections of
several processes, whose callers give up after two seconds. Senders and service share this machine's cores, so a score
has many candidates: the senders' part of the work stays small beside the service's.
"""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.chaos import offered
from benchmarks.chaos.offered import Seen
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.processes import Running, winnow_service
from benchmarks.serving.versions import Versions
from benchmarks.serving.world import World, batches, write_bodies
from benchmarks.serving.wrk import closed_loop

SCORE, FEEDBACK = "/v1/score", "/v1/feedback"
TIMES = 5
GOODPUT_BAR = 0.8
P99_BAR_MS = 250.0
RECOVERED_BAR_S = 5.0
RSS_BAR = 2**30  # mem_limit of a service in docker-compose.yml
PROBE_BAR_S = 1.0
_PROBES = ("/livez", "/readyz", "/metrics")
_CANDIDATES = 1_000
_EVENTS = 256  # in a request of feedback
_CLOSED = 16  # connections of the closed loop
_CONNECTIONS = 4_000
_SENDERS = 2
_CALM_SHARE = 0.3  # of capacity, before and after
_CALM_S = 5.0
_AS_BEFORE = 2.0  # p99 at most so many times that before, or under _QUICK_MS, is recovered
_QUICK_MS = 20.0


@dataclass
class Probes:
    """Asks for the probes again and again in a thread, from `start` to `stop`."""

    service: Running
    slowest_s: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    rss: int = 0

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()

    def _ask(self) -> None:
        process = psutil.Process(self.service.pid)
        while not self._stopping.wait(0.2):
            self.rss = max(self.rss, process.memory_info().rss)
            for path in _PROBES:
                started = time.monotonic()
                try:
                    reply = httpx.get(self.service.url + path, timeout=5 * PROBE_BAR_S, trust_env=False)
                    self.failed += not reply.is_success
                except httpx.HTTPError:
                    self.failed += 1
                self.slowest_s[path] = max(self.slowest_s.get(path, 0.0), time.monotonic() - started)


@scenario(
    fault="five times the capacity in scores, offered by a fixed schedule whatever the answers do",
    invariant="goodput 80 % of capacity or more; accepted p99 at most 250 ms; the rest 429 or 503 with Retry-After; "
    "memory under its cap; probes answer; as before within 5 s",
    needs=("wrk",),
)
def overload(directory: Path, effort: Effort) -> Outcome:
    """Offer too many scores."""
    return overloaded(directory, SCORE, effort.of(20, 600), _CANDIDATES)


@scenario(
    fault="five times the capacity in feedback, offered by a fixed schedule whatever the answers do",
    invariant="as for scores",
    needs=("wrk",),
)
def overload_feedback(directory: Path, effort: Effort) -> Outcome:
    """Offer too many events."""
    return overloaded(directory, FEEDBACK, effort.of(20, 600), _EVENTS)


def overloaded(directory: Path, path: str, seconds: float, size: int) -> Outcome:
    """Measure capacity, then calm, overload and calm again; `size` is that of a request."""
    world = World.of(2_000, 2_000)
    Versions(directory / "home", world).whole(1)
    of_path = world.requests(size, 100, seed=2) if path == SCORE else batches(world.watches(100 * size, seed=2), size)
    bodies = write_bodies(of_path, directory / "bodies.txt")
    with winnow_service(directory / "home", WINNOW_LOG_MAX_ENTRIES="100000000") as service:
        closed_loop(service.url + path, bodies, 1, _CLOSED)
        capacity = closed_loop(service.url + path, bodies, 4, _CLOSED).rate

        def calm() -> Seen:
            return offered.offer([service.url], path, bodies, _CALM_SHARE * capacity, _CALM_S, directory / "calm")

        before = calm()
        begun = offered.start(
            [service.url], path, bodies, TIMES * capacity, seconds, directory / "sent", _CONNECTIONS, _SENDERS
        )
        probes = Probes(service)
        time.sleep(max(0.0, begun[0][1].start_s - time.monotonic()))
        probes.start()
        over_s = begun[0][1].start_s + seconds
        time.sleep(max(0.0, over_s - offered.READY_S - time.monotonic()))
        after_load = offered.start(
            [service.url], path, bodies, _CALM_SHARE * capacity, 2 * RECOVERED_BAR_S, directory / "after"
        )  # its first request is due when the overload ends
        time.sleep(max(0.0, over_s - time.monotonic()))
        probes.stop()
        seen, after = offered.finish(begun), offered.finish(after_load)
    return _judged(capacity, seconds, before, seen, after, over_s, probes)


def _judged(
    capacity: float, seconds: float, before: Seen, seen: Seen, after: Seen, over_s: float, probes: Probes
) -> Outcome:
    """Say what came of it."""
    goodput = int(seen.good.sum()) / seconds / capacity
    p99_ms = seen.quantile_ms(0.99)
    lost = int((~seen.good & ~seen.shed).sum())
    recovered_s = _recovered_s(before, after, over_s)
    slowest_s = max(probes.slowest_s.values(), default=float("inf"))
    figures: dict[str, Figure] = {
        "capacity_per_s": round(capacity),
        "offered_per_s": round(len(seen.status) / seconds),
        "goodput_share": round(goodput, 3),
        "accepted_p50_ms": round(seen.quantile_ms(0.5), 1),
        "accepted_p99_ms": round(p99_ms, 1),
        "shed_share": round(float(seen.shed.mean()), 3),
        "lost": lost,
        "fates": str(seen.fates()),
        "calm_p99_ms": round(before.quantile_ms(0.99), 2),
        "recovered_s": round(recovered_s, 2),
        "rss_mb": round(probes.rss / 2**20),
        "probes_slowest_s": round(slowest_s, 3),
        "probes_failed": probes.failed,
        "sender_late_p99_ms": round(float(np.quantile(seen.late_ms[np.isfinite(seen.late_ms)], 0.99)), 1),
    }
    missed = [
        f"goodput is {goodput:.0%} of capacity" if goodput < GOODPUT_BAR else "",
        f"accepted p99 is {p99_ms:.0f} ms, the bar is {P99_BAR_MS:g} ms" if p99_ms > P99_BAR_MS else "",
        f"{lost} were neither answered nor told to come back" if lost else "",
        f"a probe took {slowest_s:.2f} s" if slowest_s > PROBE_BAR_S else "",
        f"recovered after {recovered_s:.1f} s" if recovered_s > RECOVERED_BAR_S else "",
        f"{probes.failed} probes failed" if probes.failed else "",
    ]
    broken = [f"memory reached {probes.rss} bytes, the cap is {RSS_BAR}" if probes.rss > RSS_BAR else ""]
    return Outcome.of(figures, broken, missed)


def _recovered_s(before: Seen, after: Seen, over_s: float) -> float:
    """Return the seconds after the overload from which on each second's p99 is as before; infinite if none is."""
    bar_ms = max(_QUICK_MS, _AS_BEFORE * before.quantile_ms(0.99))
    last_s = round(float(after.due_s[-1] - after.due_s[0]))
    bad = [
        second
        for second in range(last_s)
        if (part := after.between(second, second + 1)).quantile_ms(0.99) > bar_ms or not part.good.all()
    ]
    if bad and bad[-1] == last_s - 1:
        return float("inf")
    return float(after.due_s[0] - over_s) + (bad[-1] + 1 if bad else 0)

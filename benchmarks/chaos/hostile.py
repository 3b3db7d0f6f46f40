"""The hostile list against a real service: only 4xx, little work for each, no memory kept, and alive after it (P11)."""

import time
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.chaos.hostile_requests import Hostile, hostile_requests
from benchmarks.chaos.raw_http import status_of
from benchmarks.chaos.scenario import Effort, Outcome, scenario
from benchmarks.serving.processes import Running, winnow_service

MOST_CPU_MS = 50.0
MOST_GROWTH_MB = 20.0
_TRIES = 3
_TIMEOUT_S = 20.0
_BODY_TIMEOUT_S = "0.3"  # of the service: what never ends is given up soon


class Cost(NamedTuple):
    """What one request came to."""

    hostile: Hostile
    status: int
    cpu_ms: float  # of all threads of the service; the least of the tries


_SETTLED_S = 5.0


@scenario(
    fault="some 300 hostile requests on every route that takes a body, three times each, over raw sockets",
    invariant="4xx only, each under 50 ms of CPU, memory grows by 20 MB at most, and the service answers afterwards",
)
def hostile_list(work: Path, effort: Effort) -> Outcome:
    """Send the list; count answers that are not 4xx, and what each cost."""
    with winnow_service(work, WINNOW_BODY_TIMEOUT_S=_BODY_TIMEOUT_S, WINNOW_RELOAD_POLL_S="1") as service:
        costs = [cost_of(service, one, 1) for one in hostile_requests()]  # the allocator has seen the largest once
        before_mb = rss_mb(service.pid)
        for _ in range(effort.of(1, 20)):
            costs = cheaper(costs, [cost_of(service, one, _TRIES) for one in hostile_requests()])
        growth_mb = rss_mb(service.pid) - before_mb
        alive = httpx.get(service.url + "/livez", timeout=_TIMEOUT_S, trust_env=False).is_success
    not_4xx = [cost for cost in costs if not 400 <= cost.status < 500]
    dear = [cost for cost in costs if cost.cpu_ms > MOST_CPU_MS]
    dearest = max(costs, key=lambda cost: cost.cpu_ms)
    return Outcome.of(
        figures={
            "requests": len(costs),
            "answers_not_4xx": len(not_4xx),
            "over_50_ms": len(dear),
            "dearest_cpu_ms": round(dearest.cpu_ms, 1),
            "dearest": f"{dearest.hostile.name} on {dearest.hostile.path}",
            "rss_growth_mb": round(growth_mb, 1),
            "alive": alive,
        },
        broken=[
            "" if alive else "the service no longer answers",
            *(f"{cost.hostile.path} {cost.hostile.name}: {cost.status}" for cost in not_4xx[:20]),
            f"memory grew by {growth_mb:.1f} MB" if growth_mb > MOST_GROWTH_MB else "",
        ],
        missed=[f"{cost.hostile.path} {cost.hostile.name}: {cost.cpu_ms:.0f} ms of CPU" for cost in dear[:20]],
    )


def cost_of(service: Running, hostile: Hostile, tries: int) -> Cost:
    """Send one request some times; return its last status and the least CPU time it took."""
    cpu_ms, status = float("inf"), 0
    for _ in range(tries):
        before = cpu_seconds(service.pid)
        status = status_of(service.address, hostile.wire, _TIMEOUT_S)
        cpu_ms = min(cpu_ms, 1_000 * (settled_cpu_seconds(service.pid) - before))
    return Cost(hostile, status, cpu_ms)


def cheaper(one: list[Cost], other: list[Cost]) -> list[Cost]:
    """Return for each request the worse status and the lesser cost of two."""
    worse = [a.status if not 400 <= a.status < 500 else b.status for a, b in zip(one, other, strict=True)]
    return [Cost(a.hostile, status, min(a.cpu_ms, b.cpu_ms)) for a, b, status in zip(one, other, worse, strict=True)]


def cpu_seconds(pid: int) -> float:
    """Return the time that the threads of a process have run, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def settled_cpu_seconds(pid: int) -> float:
    """Return the same once the process has done what was sent: its time stands still for a few milliseconds."""
    last, deadline = cpu_seconds(pid), time.monotonic() + _SETTLED_S
    while time.monotonic() < deadline:
        time.sleep(0.003)  # the stretch in which it has to stand still
        now = cpu_seconds(pid)
        if now - last < 0.0005:
            break
        last = now
    return cpu_seconds(pid)  # of one that never stands still all that it took: over every bound


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

"""How many scores a second, over the least that the same request can cost on this machine.

The limit is L = 1 / (t_http + t_parse + t_run + t_dump). t_http: a bare ASGI application behind the same web server and
the same load, which reads the same bodies and answers as many bytes. t_parse: orjson reads one body. t_run: onnxruntime
runs the version's graph on the arrays of one request. t_dump: orjson writes one answer. All are measured in each round,
beside the service.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from benchmarks.serving.open_loop import open_loop
from benchmarks.serving.peers.ranker import OUTPUTS, Ranker
from benchmarks.serving.processes import Running, answers, free_port, running
from benchmarks.serving.series import Series, harmonic, interleaved
from benchmarks.serving.world import World, write_bodies
from benchmarks.serving.wrk import JSON, closed_loop
from contract.errors import SetupError

SCORE = "/v1/score"
CONNECTIONS = 16
BODIES = 500
_TIMES = ("http", "parse", "run", "dump")


@dataclass(frozen=True)
class Case:
    """One shape of request."""

    candidates: int
    format: str  # items or columns

    @property
    def name(self) -> str:
        """How it is called in figures."""
        return f"{self.candidates} {self.format}"


@dataclass(frozen=True)
class Capacity:
    """What the service and the parts of its limit gave in each round."""

    request_bytes: int
    answer_bytes: int
    service: Series  # requests a second
    seconds: Mapping[str, Series]  # http, parse, run, dump: seconds a request

    @property
    def limit(self) -> Series:
        """Requests a second that the parts alone would allow."""
        return harmonic([self.seconds[part] for part in _TIMES])

    @property
    def over_limit(self) -> Series:
        """The service over its limit."""
        return self.service.over(self.limit)


@contextmanager
def constant_server(work: Path) -> Iterator[Running]:
    """Run the bare ASGI application as the service runs its own."""
    port = free_port()
    options = "--loop uvloop --http httptools --ws none --lifespan off --no-access-log --no-server-header"
    where = ["--log-level", "warning", "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.serving.constant:app", *options.split(), *where]
    with running(command, work / "constant.log", answers(f"http://127.0.0.1:{port}", "/2")) as server:
        yield server


def capacity(
    case: Case,
    world: World,
    ranker: Ranker,
    service: Running,
    constant: Running,
    work: Path,
    rounds: int,
    seconds: float,
) -> Capacity:
    """Measure one case."""
    asked = world.requests(case.candidates, BODIES, seed=case.candidates, format=case.format)
    bodies = write_bodies(asked, work / f"score-{case.name.replace(' ', '-')}.txt")
    replies = [ask(service.url + SCORE, body) for body in asked[:20]]
    parsed = [orjson.loads(reply) for reply in replies]
    if any(reply["model"]["fallback"] for reply in parsed):
        raise SetupError("the service answers with its built-in prior: it has not taken the version over")
    size = round(float(np.median([len(reply) for reply in replies])))
    feeds = [_feed(ranker, body) for body in asked[:50]]

    timed = seconds / 6
    found = interleaved(
        {
            "service": lambda: rate(service.url + SCORE, bodies, seconds),
            "http": lambda: 1.0 / rate(f"{constant.url}/{size}", bodies, seconds),
            "parse": lambda: seconds_a_call(orjson.loads, asked, timed),
            "run": lambda: seconds_a_call(lambda feed: ranker.session.run(OUTPUTS, feed), feeds, timed),
            "dump": lambda: seconds_a_call(orjson.dumps, parsed, timed),
        },
        rounds,
    )
    return Capacity(len(asked[0]), size, found["service"], {part: found[part] for part in _TIMES})


def latencies(
    world: World, service: Running, offered: float, work: Path, rounds: int, seconds: float
) -> list[dict[str, float]]:
    """Offer requests with 100 candidates by a fixed schedule; return quantiles of each round."""
    bodies = write_bodies(world.requests(100, BODIES, seed=7), work / "score-open.txt")
    return [open_loop(service.url + SCORE, bodies, offered, seconds, work / "open").summary() for _ in range(rounds)]


def rate(url: str, bodies: Path, seconds: float) -> float:
    """Return the requests a second of a closed loop. Raises SetupError unless every one was answered well."""
    seen = closed_loop(url, bodies, seconds, CONNECTIONS)
    if seen.errors:
        raise SetupError(f"{url}: {seen.refused} requests refused and {seen.broken} broken of {seen.requests}")
    return seen.rate


def ask(url: str, body: bytes) -> bytes:
    """POST one body. Raises SetupError unless it is answered well."""
    reply = httpx.post(url, content=body, headers={"content-type": JSON}, timeout=30, trust_env=False)
    if reply.status_code not in (200, 202):
        raise SetupError(f"{url} answered {reply.status_code}: {reply.text[:200]}")
    return reply.content


def seconds_a_call(call: Callable[[Any], object], given: Sequence[object], seconds: float) -> float:
    """Return this thread's CPU seconds a call, over at least `seconds`."""
    calls, started = 0, time.thread_time()
    while (spent := time.thread_time() - started) < seconds or not calls:
        for one in given:
            call(one)
        calls += len(given)
    return spent / calls


def _feed(ranker: Ranker, body: bytes) -> dict[str, Any]:
    asked = orjson.loads(body)
    rows = [ranker.items.get(item, 0) for item in asked["candidates"]]
    return ranker.feed(ranker.users.get(asked["user_id"], 0), rows)

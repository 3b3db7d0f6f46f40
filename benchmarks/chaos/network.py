"""The network between the parts and the log, and a log that stops answering (P1, P2, P7)."""

import contextlib
import os
import signal
import time
from pathlib import Path

import httpx
import numpy as np
import orjson

from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.parts import LogServer
from benchmarks.chaos.proxy import Proxy, Weather
from benchmarks.chaos.rig import Rig
from benchmarks.chaos.scenario import Effort, NotShown, Outcome, scenario
from benchmarks.serving.processes import until
from contract.errors import SetupError

SCORE_BAR_MS = 5.0
FEEDBACK_BAR_S = 0.6
STOPPED_S = 10.0
_SOCKETS_MORE = 12
_LOSSY = Weather(lost_reply=0.05, reset=0.02)
_WEATHERS = (
    ("lossy", _LOSSY, 6.0),
    ("200 ms", Weather(latency_s=0.2), 4.0),
    ("half open", Weather(half_open=0.02), 6.0),
    ("1 B/s", Weather(bytes_a_second=1.0), 4.0),
)


@scenario(
    "a TCP proxy before service and trainer: replies of appends and of reads lost, resets, 200 ms, half-open, 1 B/s",
    "0 acknowledged events lost, 0 trained twice, no entry skipped, weights those of a calm run, sockets stable",
)
def lost_replies(directory: Path, effort: Effort) -> Outcome:
    """Lose replies in both directions while events come."""
    events, server = effort.of(10_000, 100_000), LogServer(directory / "server")
    with (
        Proxy(server.port, effort.seed) as near,
        Proxy(server.port, effort.seed + 1) as far,
        Rig(directory, server, log_url=near.url, trainer_url=far.url) as rig,
    ):
        with rig.start().feeding(
            whole=True, events=events, rate=600.0, batch=10, clients=16, seed=effort.seed, twice=0.05
        ) as fed:
            until(lambda: len(fed.ledger.acknowledged()) >= 600, 60, "some events acknowledged in calm weather")
            before = _held(rig)
            for _, weather, seconds in _WEATHERS:
                near.weather = far.weather = weather
                time.sleep(seconds)  # how long this weather lasts
            near.weather = far.weather = _LOSSY
            until(lambda: len(fed.ledger.acknowledged()) >= 0.98 * events, 300, "most events acknowledged")
            near.weather = far.weather = Weather()
            with contextlib.suppress(SetupError):  # those that are not let go in time are counted
                until(lambda: _grown(before, _held(rig)) <= _SOCKETS_MORE, 10, "sockets let go")
            after = _held(rig)
        judgement = rest(rig, fed)
    grown = _grown(before, after)
    done = near.done + far.done
    why = [judgement.why()] if not judgement.holds else []
    why += [f"{grown} more sockets than before, at most {_SOCKETS_MORE}"] if grown > _SOCKETS_MORE else []
    if not why and (done["lost_reply"] < 50 or not done["reset"] or not done["half_open"]):
        raise NotShown(f"only {dict(done)} came about")
    return Outcome(not why, {**facts(judgement), **dict(done), "more_sockets": grown}, "; ".join(why))


@scenario(
    f"the log's server stopped by SIGSTOP for {STOPPED_S:g} s",
    f"no score fails, p99 within {SCORE_BAR_MS:g} ms of before; feedback answers 503 within {FEEDBACK_BAR_S:g} s; "
    "0 lost, 0 twice",
)
def redis_stopped(directory: Path, effort: Effort) -> Outcome:
    """Stop the server, as a stalled disk does, and look at scores and at feedback."""
    rounds = effort.of(1, 20)
    calm, hung, errors = [], [], 0
    windows: list[tuple[float, float]] = []
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed) as fed:
            until(lambda: len(fed.ledger.acknowledged()) > 200, 60, "feedback before the server stops")
            for _ in range(rounds):
                calm += _scores(rig.service.url, STOPPED_S / 2)[0]
                rig.server.signal(signal.SIGSTOP)
                started = time.time()
                took, failed = _scores(rig.service.url, STOPPED_S)
                rig.server.signal(signal.SIGCONT)
                windows.append((started, time.time()))
                hung += took
                errors += failed
                at = len(fed.ledger.acknowledged())
                until(lambda at=at: len(fed.ledger.acknowledged()) > at + 50, 60, "feedback after it")  # type: ignore[misc]
        judgement = rest(rig, fed)
    assert fed.summary is not None
    met = [
        (took, status)
        for at, took, status in fed.summary.attempts
        if any(start < at and at + took < end for start, end in windows)
    ]
    p99 = [float(np.quantile(np.array(took), 0.99)) * 1e3 for took in (calm, hung)]
    slowest = max((took for took, _ in met), default=0.0)
    why = [judgement.why()] if not judgement.holds else []
    why += [f"{errors} scores failed"] if errors else []
    missed = [f"p99 {p99[0]:.2f} ms before, {p99[1]:.2f} ms meanwhile"] if p99[1] - p99[0] > SCORE_BAR_MS else []
    missed += [f"feedback took {slowest:.3f} s"] if slowest > FEEDBACK_BAR_S else []
    why += [f"feedback answered {sorted({s for _, s in met})}"] if {s for _, s in met} != {503} else []
    figures = {
        "score_p99_before_ms": round(p99[0], 2),
        "score_p99_meanwhile_ms": round(p99[1], 2),
        "scores": len(hung),
        "score_errors": errors,
        "feedback_503": len(met),
        "feedback_slowest_s": round(slowest, 3),
        **facts(judgement),
    }
    return Outcome.of(figures, why, missed)


def _scores(url: str, seconds: float) -> tuple[list[float], int]:
    """Ask for scores, one after another, 100 a second; return the seconds that each took, and how many failed."""
    took, failed, ends = [], 0, time.monotonic() + seconds
    body = orjson.dumps({"user_id": "u1", "candidates": [f"v{number}" for number in range(100)]})
    with httpx.Client(base_url=url, trust_env=False, timeout=5.0) as client:
        while (started := time.monotonic()) < ends:
            try:
                failed += client.post("/v1/score", content=body).status_code != httpx.codes.OK
            except httpx.TransportError:
                failed += 1
            took.append(time.monotonic() - started)
            time.sleep(max(0.0, 0.01 - took[-1]))
    return took, failed


def _held(rig: Rig) -> list[int]:
    """Return how many sockets service and trainer hold."""
    return [_sockets(part.pid) for part in (rig.service, rig.trainer)]


def _grown(before: list[int], after: list[int]) -> int:
    """Return the most that one of them holds more."""
    return max(more - less for less, more in zip(before, after, strict=True))


def _sockets(pid: int) -> int:
    """Return how many sockets a process holds. Files are of the versions it has open, which come and go."""
    held = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            held += os.readlink(descriptor).startswith("socket:")
    return held

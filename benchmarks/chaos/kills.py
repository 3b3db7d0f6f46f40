"""Kills: `kill -9` of each part and of all at once, while feedback comes (P1, P2, P3).

Pauses here are drawn moments: a kill that waited for a condition would always meet the same step.
"""

import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from benchmarks.chaos.judge import Judgement, newest
from benchmarks.chaos.parts import start_trainer, trainer_of
from benchmarks.chaos.rig import SETTLE_S, Fed, Rig
from benchmarks.chaos.scenario import Effort, Figure, NotShown, Outcome, scenario
from benchmarks.serving.processes import until

WORK_S = (0.15, 0.9)  # how long a trainer may work before it is killed
TRAINER_READY_S = 15.0
SERVICE_READY_S = 5.0
_INVARIANT = "0 acknowledged events lost, 0 trained twice, weights bitwise those of a run without faults"


@scenario(
    "kill -9 of the trainer after 0.15 to 0.9 s of work, every second time after a checkpoint more, again and again",
    _INVARIANT,
)
def trainer_killed(directory: Path, effort: Effort) -> Outcome:
    """Kill the trainer in the midst of reading, learning, checkpointing and publishing."""
    kills, draw = effort.of(50, 1_000), random.Random(effort.seed)
    with Rig(directory) as rig:
        with rig.start(trainer=False).feeding(seed=effort.seed) as fed:
            for number in range(kills):
                rig.start_trainer()
                endanger(rig, number)
                time.sleep(draw.uniform(*WORK_S))
                rig.trainer.kill()
        return judged(rig, fed, kills)


@scenario("kill -9 of the log's server (appendfsync always), its file rewritten in between", _INVARIANT)
def redis_killed(directory: Path, effort: Effort) -> Outcome:
    """Kill the server in the midst of appends, reads, trims and rewrites."""
    kills, draw = effort.of(25, 500), random.Random(effort.seed)
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed) as fed:
            for number in range(kills):
                endanger(rig, number)
                time.sleep(draw.uniform(0.1, 0.6))
                if number % 2:
                    with contextlib.suppress(redis.RedisError), rig.server.client() as client:
                        client.bgrewriteaof()
                    time.sleep(draw.uniform(0.0, 0.05))  # in the midst of it
                rig.server.kill()
                rig.server.start()
        return judged(rig, fed, kills)


@scenario("kill -9 of the service with 32 clients in the midst of POST /feedback", _INVARIANT)
def service_killed(directory: Path, effort: Effort) -> Outcome:
    """Kill the service between append and answer."""
    kills, draw = effort.of(50, 1_000), random.Random(effort.seed)
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed, clients=32, batch=3, rate=400.0) as fed:
            for number in range(kills):
                endanger(rig, number)
                time.sleep(draw.uniform(0.1, 0.5))
                rig.service.kill()
                rig.service.start()
        return judged(rig, fed, kills)


@scenario(
    "kill -9 of server, service and trainer at once, then a start of all by their command lines",
    f"{_INVARIANT}; service ready within {SERVICE_READY_S:g} s, trainer within {TRAINER_READY_S:g} s",
)
def everything_killed(directory: Path, effort: Effort) -> Outcome:
    """Kill everything in one blow and measure how long each part takes to be back."""
    kills, draw = effort.of(10, 100), random.Random(effort.seed)
    ready: dict[str, list[float]] = {"server": [], "service": [], "trainer": []}
    with Rig(directory) as rig:
        rig.trainer = trainer_of(
            rig.home, rig.trainer_url, None, **rig.settings
        )  # `winnow train`, its imports included
        with rig.start().feeding(seed=effort.seed) as fed:
            for _ in range(kills):
                await_checkpoint(rig)
                time.sleep(draw.uniform(0.0, 0.9))
                for part in (rig.server, rig.service, rig.trainer):
                    part.kill()
                ready["server"].append(rig.server.start())
                ready["service"].append(rig.service.start())
                ready["trainer"].append(start_trainer(rig.trainer))
        late, slowest = _readiness(ready)
        return judged(rig, fed, kills, late, slowest)


def endanger(rig: Rig, number: int) -> None:
    """Before every second kill, let the trainer come a checkpoint further: on a busy machine it may need long."""
    if number % 2:
        await_checkpoint(rig)


def await_checkpoint(rig: Rig) -> None:
    """Wait until the trainer has come a checkpoint further: without one a kill endangers little."""
    before = newest(rig.home, arrays=False)
    until(lambda: newest(rig.home, arrays=False) not in (before, None), SETTLE_S, "another checkpoint")


def _readiness(ready: dict[str, list[float]]) -> tuple[list[str], dict[str, Figure]]:
    """Return what was too late, and the longest that each part took."""
    slowest = {f"{name}_ready_max_s": round(max(times), 2) for name, times in ready.items()}
    late = [
        f"{name} ready after {slowest[f'{name}_ready_max_s']} s, the bound is {bound:g} s"
        for name, bound in (("service", SERVICE_READY_S), ("trainer", TRAINER_READY_S))
        if slowest[f"{name}_ready_max_s"] > bound
    ]
    return late, dict(slowest)


def judged(
    rig: Rig, fed: Fed, kills: int, missed: Sequence[str] = (), figures: Mapping[str, Figure] | None = None
) -> Outcome:
    """Let the loop come to rest and say what is left of it."""
    judgement = rest(rig, fed)
    if judgement.holds and judgement.checkpoints < kills // 2:
        raise NotShown(f"{judgement.checkpoints} checkpoints in {kills} kills: too little work was in danger")
    return Outcome.of({"kills": kills, **facts(judgement), **(figures or {})}, [judgement.why()], missed)


def rest(rig: Rig, fed: Fed, weights: bool = True, put_aside: int = 0) -> Judgement:
    """Start what is down, let the trainer learn the rest, and judge."""
    if not rig.server.is_alive():
        rig.server.start()
    rig.settle()
    return rig.judge(fed, weights, put_aside)


def facts(judgement: Judgement, weights: bool = True) -> dict[str, Figure]:
    """Return the figures that every judgement has."""
    return {
        "acknowledged_events": judgement.acknowledged,
        "checkpoints": judgement.checkpoints,
        "lost": len(judgement.lost),
        "twice": len(judgement.twice),
        "strange": len(judgement.strange),
        **({"arrays_that_differ": len(judgement.weights)} if weights else {}),
    }

"""How far liars move the model: one user who repeats himself, a tenth of all users who lie, ids without end (P10).

The live trainer learns a real log whose entries bear the times of hours gone by, once with the liars and once without;
the simulator knows what is true. What no cap at all would have done is measured beside it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import redis

from benchmarks.chaos.scenario import Effort, Outcome, scenario
from benchmarks.serving.ingest import log_url
from benchmarks.serving.processes import winnow_service
from contract.blocks import encode_partitions, pieces_of
from contract.event_log import append_arguments, stream_key
from contract.events import Action, Events, FeedbackEvent
from contract.hashing import id_keys
from trainer.app import make_worker
from trainer.gates import Verdict
from trainer.log_block import LogBlock
from trainer.metrics_math import auc
from trainer.settings import TrainerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator
from trainer.worker import Worker

Floats = npt.NDArray[np.float64]

LIKES = 5_000
CHUNK = 250
FEW = 16  # entries that are read at once: so that versions are published on the way
LYING_RATES = (0.02, 1.0)  # of a liar's views: one that passes among others, and every view of those items
MOST_MOVED = 0.10
MOST_AUC_LOST = 0.02
MOST_AUC_LOST_TO_A_FLOOD = 0.01
_OFF = {"cap_user_events": 0, "cap_user_words": 0, "cap_pair_events": 0, "cap_pair_words": 0}


@dataclass(frozen=True)
class Learned:
    """A trainer that has learned a log, and its champion's verdicts on the way."""

    worker: Worker
    verdicts: tuple[Verdict, ...]


@contextmanager
def event_log(work: Path) -> Iterator[str]:
    """Run an event log; yield its URL."""
    with winnow_service(work / "log"):
        yield log_url(work / "log")


def learned(url: str, home: Path, parts: Sequence[Events], hours: float, **settings: object) -> Learned:
    """Let a new trainer learn parts of a log, spread evenly over the last hours; publish ten times on the way."""
    _fill(url, parts, hours)
    chosen = {"home": home, "redis_url": url, "trainer_metrics_port": 0, "device": "cpu", "keep_versions": 2}
    worker = make_worker(TrainerSettings.model_validate({**chosen, **settings}))
    published, due = [], sum(map(len, parts)) / 10
    worker.attach()
    while worker.log.lag(worker.position).entries:
        worker.advance()
        if worker.account.read >= due:
            published.append(worker.publish())
            due += sum(map(len, parts)) / 10
    published.append(worker.publish())
    return Learned(worker, tuple(each.verdict for each in published))


def _fill(url: str, parts: Sequence[Events], hours: float) -> None:
    """Empty the log, and store parts under ids of the time that they are to have come at."""
    start_ms, step_ms = time.time_ns() // 1_000_000 - int(hours * 3_600_000), hours * 3_600_000 / len(parts)
    with redis.Redis.from_url(url) as client:
        client.flushall()
        for number, part in enumerate(parts):
            with client.pipeline(transaction=False) as pipe:
                for partition, (count, block) in encode_partitions([pieces_of(part)]).items():
                    at = f"{start_ms + int(number * step_ms)}-1"
                    pipe.xadd(stream_key(partition), append_arguments(count, block), id=at)
                pipe.execute()


def honest(seed: int, events: int) -> list[LogBlock]:
    """Return simulated traffic in small blocks."""
    return list(Simulator(SimulatorConfig(users=1_000, items=500), seed).blocks(events, CHUNK))


def words(user: Sequence[str], item: Sequence[str], action: Action, name: str) -> Events:
    """Return words of users about items, a pair each."""
    pairs = zip(user, item, strict=True)
    return Events.from_models(
        [
            FeedbackEvent(event_id=f"{name}-{n}", user_id=u, item_id=i, at=1_650_812_400_000 + n, actions=[action])
            for n, (u, i) in enumerate(pairs)
        ]
    )


def mean_score(worker: Worker, item: str, users: Sequence[str]) -> float:
    """Return the mean score of an item over users."""
    learner, count = worker.learner, len(users)
    key = id_keys([item])
    side = np.repeat(learner.item_side[learner.items.rows(key)], count, axis=0)
    logit = learner.predict(id_keys(users), np.repeat(key, count), side).logit
    return float(learner.annotator.scores(logit).mean())


def truth_auc(worker: Worker, blocks: Sequence[LogBlock], users: frozenset[str] = frozenset()) -> float:
    """Return how well the model orders the last blocks by what is true, of all but some users."""
    last = LogBlock.concatenate(list(blocks[-len(blocks) // 5 :]))
    kept = np.array([user not in users for user in last.events.user_id])
    events, truth = last.events.take(kept), last.truth[kept]
    learner = worker.learner
    logit = learner.predict(events.user_key, events.item_key, learner.side_of(events)).logit
    return float(auc(logit, truth > np.median(truth)))


@scenario(
    fault="one user likes, or dislikes, one item 5,000 times, in an hour or in five, amid honest traffic",
    invariant="the item's mean score over all other users moves by at most 0.10",
)
def one_user_with_5000_fake_likes(work: Path, effort: Effort) -> Outcome:
    """Measure the item's mean score with the liar and without."""
    moved, uncapped = [], []
    users = [f"u{number}" for number in range(1_000)]
    with event_log(work) as url:
        for seed in range(effort.seed, effort.seed + effort.of(1, 3)):
            blocks = honest(seed, effort.of(10_000, 40_000))
            item = str(blocks[0].events.item_id[0])
            for hours in (1.0, 5.0) if effort.long else (5.0,):
                parts = [block.events for block in blocks]
                name = f"{seed}-{hours:g}"
                before = mean_score(learned(url, work / f"{name}-0", parts, hours).worker, item, users)
                for action in (Action.LIKE, Action.DISLIKE):
                    lies = words(["liar"] * LIKES, [item] * LIKES, action, "lie")
                    with_lies = _mixed(parts, lies)
                    home = work / f"{name}-{action.name}"
                    moved.append(mean_score(learned(url, home, with_lies, hours).worker, item, users) - before)
                    off = learned(url, home.with_suffix(".off"), with_lies, hours, **_OFF).worker
                    uncapped.append(mean_score(off, item, users) - before)
    most = max(map(abs, moved))
    figures = {"most_moved": round(most, 4), "most_moved_without_caps": round(max(map(abs, uncapped)), 4)}
    return Outcome(most <= MOST_MOVED, figures, "" if most <= MOST_MOVED else f"moved by {moved}")


@scenario(
    fault="a tenth of the users like the worst fifth of items and dislike the best, at one view in fifty or at each of "
    "those views, while versions are published",
    invariant="the gate refuses the last version, or honest users lose at most 0.02 of AUC against the truth",
)
def colluding_users(work: Path, effort: Effort) -> Outcome:
    """Measure what honest users lose at either rate, and whether the gate saw it."""
    lost: dict[float, list[float]] = {rate: [] for rate in LYING_RATES}
    slipped, caught = 0.0, 0
    liars = frozenset(f"u{number}" for number in range(100))
    with event_log(work) as url:
        for seed in range(effort.seed, effort.seed + effort.of(1, 3)):
            blocks = honest(seed, effort.of(15_000, 60_000))
            clean = learned(url, work / f"{seed}-clean", [block.events for block in blocks], 5.0, read_entries=FEW)
            before = truth_auc(clean.worker, blocks, liars)
            for rate in LYING_RATES:
                home = work / f"{seed}-{rate:g}"
                spoilt = learned(url, home, _lies(blocks, liars, rate, seed), 5.0, read_entries=FEW)
                lost[rate].append(before - truth_auc(spoilt.worker, blocks, liars))
                seen = spoilt.verdicts[-1] is Verdict.REJECT
                caught += seen
                slipped = max(slipped, 0.0 if seen else lost[rate][-1])
    figures = {f"most_auc_lost_at_{rate:g}": round(max(found), 4) for rate, found in lost.items()}
    said = f"honest users lost {slipped:.3f} of AUC, the bar is {MOST_AUC_LOST:g}" if slipped > MOST_AUC_LOST else ""
    return Outcome.of({**figures, "caught": caught, "seeds": effort.of(1, 3)}, [], [said])


@scenario(
    fault="random users and items that come once, 300,000 of them (5 million in the long run), amid honest traffic",
    invariant="the trainer's tables stay as they were sized; honest users lose at most 0.01 of AUC",
)
def random_ids_flood(work: Path, effort: Effort) -> Outcome:
    """Measure tables and AUC with the flood and without."""
    blocks = honest(effort.seed, 10_000)
    parts = [block.events for block in blocks]
    each = effort.of(300_000, 5_000_000) // len(parts)
    sizes = {"user_capacity": 20_000, "item_capacity": 20_000, "admit_after": 2, "cap_slots": 16_384}
    with event_log(work) as url:
        clean = learned(url, work / "clean", parts, 1.0, **sizes)
        flooded = learned(url, work / "flood", [_with_ids(p, each, n) for n, p in enumerate(parts)], 1.0, **sizes)
    learner = flooded.worker.learner
    lost = truth_auc(clean.worker, blocks) - truth_auc(flooded.worker, blocks)
    slots = sum(len(part) for name, part in flooded.worker.caps.state().items() if name.endswith(".slot"))
    bounded = learner.users.known_ids <= 20_000 and learner.items.known_ids <= 20_000 and slots <= 4 * 16_384
    figures = {"auc_lost": round(lost, 4), "users_known": learner.users.known_ids, "cap_slots_used": slots}
    over = lost > MOST_AUC_LOST_TO_A_FLOOD
    said = f"honest users lost {lost:.3f} of AUC, the bar is {MOST_AUC_LOST_TO_A_FLOOD:g}" if over else ""
    return Outcome.of(figures, [] if bounded else ["a table grew"], [said])


def _mixed(parts: Sequence[Events], lies: Events) -> list[Events]:
    """Spread lies evenly over the parts of a log."""
    cuts = np.array_split(np.arange(len(lies)), len(parts))
    return [Events.concatenate([part, lies.take(cut)]) for part, cut in zip(parts, cuts, strict=True)]


def _lies(blocks: Sequence[LogBlock], liars: frozenset[str], rate: float, seed: int) -> list[Events]:
    """Return the events of blocks in which liars speak at a share of their views: of the worst and best items alone."""
    whole = LogBlock.concatenate(list(blocks))
    events = whole.events
    _, item = np.unique(events.item_key, return_inverse=True)
    place = np.argsort(np.argsort(np.bincount(item, whole.truth) / np.bincount(item))) / (item.max() + 1)
    worst, best = place[item] < 0.2, place[item] >= 0.8
    lies = np.array([user in liars for user in events.user_id])
    there = lies & (worst | best)
    speaks = there & (np.random.default_rng(seed).random(len(events)) < rate * lies.sum() / there.sum())
    said = np.where(worst, Action.LIKE.bit, Action.DISLIKE.bit)
    actions = np.where(speaks, said, np.where(lies, 0, events.actions)).astype(np.uint8)
    told, ends = replace(events, actions=actions), np.cumsum([len(block.events) for block in blocks])
    return [told.take(slice(end - len(block.events), end)) for block, end in zip(blocks, ends.tolist(), strict=True)]


def _with_ids(part: Events, count: int, seed: int) -> Events:
    """Return a part of a log with events of random ids behind it."""
    random = np.random.default_rng(seed)
    flood = part.take(random.integers(0, len(part), count))
    keys = random.integers(2, 2**63, (3, count), np.uint64) * np.uint64(2)
    return Events.concatenate([part, replace(flood, event_key=keys[0], user_key=keys[1], item_key=keys[2])])

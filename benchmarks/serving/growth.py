"""What a step, a version, a swap and a score cost as tables grow from ten thousand rows to ten million."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import orjson
import psutil
import torch

from benchmarks.serving.open_loop import open_loop
from benchmarks.serving.processes import Running, until, winnow_service
from benchmarks.serving.swap import SCORE
from benchmarks.serving.versions import ANY_QUALITY
from benchmarks.serving.world import write_bodies
from benchmarks.speed.learning import events_of
from contract.hashing import Keys, id_keys
from contract.registry import Registry
from trainer.checkpoint import Account
from trainer.learner import Learner
from trainer.progressive import Progressive
from trainer.publish import DeltaPolicy, Published, Publisher
from trainer.settings import LearnerSettings

ITEMS_SHARE = 10  # users for each item
CHANGED_ROWS = 10_000
DELTAS = 5
_CHUNK = 1 << 18
_DELTAS_ONLY = DeltaPolicy(whole_every_s=float("inf"), max_changed_share=1.0, max_drift=float("inf"))
_TAKEN_OVER_S = 120.0


@dataclass(frozen=True)
class Grown:
    """What one size costs. Seconds are medians of DELTAS, but for the whole version, which is made once."""

    users: int
    items: int
    step_us_per_event: float
    whole_s: float  # to publish a whole version and have it answer
    whole_mb: float
    delta_rows: int  # of users and items that the last delta carries
    delta_s: float  # to publish a delta and have it answer
    delta_publish_s: float  # of which to publish
    delta_mb: float
    memory_mb: float  # PSS of the service on the whole version, mapped tables included
    memory_ratio: float  # the same after the deltas, over that
    score_p50_ms: float  # of 100 candidates, at 200 requests/s


def grow(users: int, dim: int, work: Path, seconds: float) -> Grown:
    """Measure one size: `users` users, a tenth as many items, vectors of `dim`. Needs 0.7 kB of memory a user."""
    torch.set_num_threads(1)
    home = work / f"growth-{users}"
    shutil.rmtree(home, ignore_errors=True)
    items = max(2_000, users // ITEMS_SHARE)
    chosen = {"device": "cpu", "user_capacity": users, "item_capacity": items, "dim": dim}
    settings = LearnerSettings.model_validate(chosen)
    learner, random = Learner(settings), np.random.default_rng(1)
    user_keys, item_keys = _known(learner, "users", "u", users), _known(learner, "items", "v", items)
    registry = Registry(home / "registry")
    publisher = Publisher(registry, settings, ANY_QUALITY, keep_versions=DELTAS + 1, deltas=_DELTAS_ONLY)
    progressive = Progressive()

    def learn(batches: int) -> float:
        """Return the seconds of the steps."""
        spent = 0.0
        for _ in range(batches):
            events = events_of(
                random.choice(user_keys, settings.batch_events), random.choice(item_keys, settings.batch_events), random
            )
            started = time.perf_counter()
            report = learner.step(events)
            spent += time.perf_counter() - started
            progressive.add(report, learner)
        return spent

    def publish(service: Running | None) -> tuple[float, Published]:
        """Return the seconds until the new version answers."""
        account = Account(trained=learner.stepped, acknowledged_ms=time.time_ns() // 1_000_000)
        started = time.perf_counter()
        published = publisher.publish(learner, progressive.quality(), {}, account)
        if service is not None:
            _until_it_answers(service, published.version)
        return time.perf_counter() - started, published

    learn(5)
    publish(None)  # the service starts on it; what it costs is measured with the next
    with winnow_service(home) as service:
        publisher = Publisher(registry, settings, ANY_QUALITY, keep_versions=DELTAS + 1, deltas=_DELTAS_ONLY)
        whole_s, whole = publish(service)
        bodies = _requests(users, items, random)
        _score(service, bodies, home, seconds)  # every page that is asked for is there
        before = _pss(service)
        spent, made = [], []
        for _ in range(DELTAS):
            spent.append(learn(1))
            made.append(publish(service))
        batches = 0
        while _changed(learner) < CHANGED_ROWS and batches < 50:
            spent.append(learn(1))
            batches += 1
        made.append(publish(service))
        p50_ms = _score(service, bodies, home, seconds)
        last = registry.manifest(made[-1][1].version)
        grown = Grown(
            users=users,
            items=items,
            step_us_per_event=float(np.median(spent)) / settings.batch_events * 1e6,
            whole_s=whole_s,
            whole_mb=_mb(registry, whole),
            delta_rows=last.layout.spaces.users.rows + last.layout.spaces.items.rows,
            delta_s=made[-1][0],
            delta_publish_s=made[-1][1].seconds,
            delta_mb=_mb(registry, made[-1][1]),
            memory_mb=before / 1e6,
            memory_ratio=_pss(service) / before,
            score_p50_ms=p50_ms,
        )
    shutil.rmtree(home)
    return grown


def series(grown: list[Grown]) -> Mapping[str, Mapping[int, float]]:
    """Return what is drawn: seconds by what is done, then by rows of users."""
    drawn: dict[str, Callable[[Grown], float]] = {
        "learn 1,000 events": lambda one: one.step_us_per_event / 1e3,
        "whole version, published and served": lambda one: one.whole_s,
        "delta, published and served": lambda one: one.delta_s,
        "score 100 candidates": lambda one: one.score_p50_ms / 1e3,
    }
    return {name: {one.users: value(one) for one in grown} for name, value in drawn.items()}


def _known(learner: Learner, space: str, letter: str, count: int) -> Keys:
    """Let the learner know `count` ids, as if each had been seen; return their keys."""
    table = learner.users if space == "users" else learner.items
    keys = np.empty(count, np.uint64)
    for start in range(0, count, _CHUNK):
        part = id_keys([f"{letter}{number}" for number in range(start, min(count, start + _CHUNK))])
        keys[start : start + len(part)] = part
        rows = table.see(part, 0).reassigned.astype(np.int64)
        learner.changed.note_owners(space, rows)
        learner.backbone.start_rows(space, torch.from_numpy(rows), torch.Generator().manual_seed(start))
    return keys


def _changed(learner: Learner) -> int:
    rows = learner.rows_in_use()
    return sum(len(learner.changed.kept(space, rows[space])) for space in ("users", "items"))


def _requests(users: int, items: int, random: np.random.Generator) -> list[bytes]:
    return [
        orjson.dumps(
            {
                "user_id": f"u{random.integers(users)}",
                "candidates": [f"v{number}" for number in random.integers(0, items, 100)],
                "surface": "feed",
            }
        )
        for _ in range(500)
    ]


def _score(service: Running, bodies: list[bytes], home: Path, seconds: float) -> float:
    file = write_bodies(bodies, home / "growth.txt")
    return open_loop(service.url + SCORE, file, 200.0, seconds, home / "open").summary()["p50_ms"]


def _until_it_answers(service: Running, version: str) -> None:
    with httpx.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        asked = {"user_id": "u1", "candidates": ["v1"]}
        until(
            lambda: client.post(SCORE, json=asked).json()["model"]["version"] == version,
            _TAKEN_OVER_S,
            f"the swap to version {version}",
        )


def _pss(service: Running) -> float:
    return float(psutil.Process(service.pid).memory_full_info().pss)


def _mb(registry: Registry, published: Published) -> float:
    return sum(file.bytes for file in registry.manifest(published.version).files.values()) / 1e6

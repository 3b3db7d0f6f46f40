"""Versions of a world, made as the trainer makes them: a learner steps through watches, and its state is published."""

import time
from pathlib import Path

from benchmarks.serving.world import World
from contract.errors import SetupError
from contract.event_log import BEGINNING
from contract.events import Events
from contract.hashing import PARTITIONS
from contract.registry import Registry
from trainer.checkpoint import Account
from trainer.gates import GatePolicy
from trainer.learner import Learner
from trainer.progressive import Progressive
from trainer.publish import DeltaPolicy, Publisher
from trainer.settings import LearnerSettings

# Watches without sense teach nothing that a gate would let pass; finiteness and parity are still demanded.
ANY_QUALITY = GatePolicy(
    min_events=0,
    max_auc_drop=1.0,
    min_auc=0.0,
    max_ece=1.0,
    max_rate_factor=float("inf"),
    max_log_loss_ratio=float("inf"),
    max_pseudo_label_share=1.0,
    max_target_one_sidedness=float("inf"),
)
_ALL_WHOLE = DeltaPolicy(whole_every_s=0.0)
_ALL_DELTAS = DeltaPolicy(whole_every_s=float("inf"), max_changed_share=1.0, max_drift=float("inf"))
_MORE_EVENTS = 4_096


class Versions:
    """Makes and promotes versions of one world under one home."""

    def __init__(self, home: Path, world: World, **chosen: object) -> None:
        """Let a learner meet every user and item of the world; `chosen` are its settings."""
        self.registry = Registry(home / "registry")
        self._world = world
        self.settings = LearnerSettings.model_validate({"device": "cpu", **chosen})
        self._learner = Learner(self.settings)
        self._progressive = Progressive()
        self._position = dict.fromkeys(range(PARTITIONS), BEGINNING)
        self._step(world.watches(max(len(world.users), len(world.items)), seed=1))

    def whole(self, count: int) -> list[str]:
        """Publish whole versions, each after more watches than the one before; the last stays champion."""
        return self._publish(count, _ALL_WHOLE)

    def deltas(self, count: int) -> list[str]:
        """Publish deltas, each after more watches, on one more whole version."""
        return self._publish(1 + count, _ALL_DELTAS)[1:]

    def _publish(self, count: int, policy: DeltaPolicy) -> list[str]:
        publisher = Publisher(self.registry, self.settings, ANY_QUALITY, keep_versions=1_000, deltas=policy)
        made = []
        for _ in range(count):
            self._step(self._world.watches(_MORE_EVENTS, seed=2 + self._learner.stepped))
            now_ms = time.time_ns() // 1_000_000
            account = Account(trained=self._learner.stepped, event_at_ms=now_ms, acknowledged_ms=now_ms)
            quality = self._progressive.quality()
            published = publisher.publish(self._learner, quality, self._position, account)
            if not published.promoted:
                raise SetupError(f"version {published.version} was not promoted: {'; '.join(published.reasons)}")
            made.append(published.version)
        return made

    def _step(self, events: Events) -> None:
        for start in range(0, len(events), self.settings.batch_events):
            report = self._learner.step(events.take(slice(start, start + self.settings.batch_events)))
            self._progressive.add(report, self._learner)

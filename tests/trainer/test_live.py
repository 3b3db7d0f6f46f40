"""What is served is watched: a bad champion is rolled back, a good one left alone, an operator's pin never touched."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.event_log import EventLog
from contract.pointer import Champion
from contract.registry import Registry
from tests.trainer.conftest import MakeWorker, send
from tests.versions import digest_again
from trainer.checkpoint import Account
from trainer.gates import GatePolicy
from trainer.learner import Learner
from trainer.live import LiveWatch
from trainer.metrics import TrainerMetrics
from trainer.progressive import Progressive
from trainer.publish import DeltaPolicy, Publisher
from trainer.settings import LearnerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator
from trainer.worker import Worker

WORLD = SimulatorConfig(users=300, items=100, like_rate=0.1, position_bias=0.0)
ROUND = 2_048


class Stream:
    """A worker, and a world whose events it learns, a version after each round."""

    def __init__(self, new_worker: MakeWorker, log_url: str, **settings: object) -> None:
        self.new_worker, self.settings = (
            new_worker,
            {"batch_events": 512, "live_share": 0.5, "live_time_share": 1.0, **settings},
        )
        self.log = EventLog(log_url)
        self.simulator = Simulator(WORLD, seed=5)
        self.worker: Worker = new_worker(**self.settings)

    @property
    def registry(self) -> Registry:
        return self.worker.publisher.registry

    def champion(self) -> Champion:
        champion = self.registry.champion()
        assert champion is not None
        return champion

    def round(self, events: int = ROUND) -> None:
        send(self.log, self.simulator.next_block(events).events, batch=512)
        self.worker.drain()

    def learn(self, rounds: int) -> None:
        for _ in range(rounds):
            self.round()
            self.worker.publish()

    def learn_until_healthy(self) -> str:
        for _ in range(12):
            self.learn(1)
            if healthy := self.registry.healthy():
                return healthy
        raise AssertionError("no version was found healthy")

    def metric(self, name: str) -> float:
        value = self.worker.metrics.registry.get_sample_value(name)
        assert value is not None
        return value


def inverted(registry: Registry, version: str) -> str:
    """Stage a copy of a whole version that ranks the other way round, with digests that fit."""
    directory = registry.new_staging()
    shutil.copytree(registry.path(version), directory, dirs_exist_ok=True)
    for space in ("users", "items", "sides"):
        path = directory / f"{space}.terms.bin"
        terms = np.fromfile(path, "<f4").reshape(-1, 2)
        terms[:, 0] *= -1
        terms.tofile(path)
    path = directory / "users.vectors.bin"
    (-np.fromfile(path, "<f4")).tofile(path)
    digest_again(directory)
    return registry.stage(directory)


def test_a_bad_champion_is_rolled_back_within_4096_events_and_the_pin_is_lifted_by_itself(
    new_worker: MakeWorker, log_url: str
) -> None:
    stream = Stream(new_worker, log_url)
    healthy = stream.learn_until_healthy()
    bad = inverted(stream.registry, healthy)
    stream.registry.promote(bad, "looks good", who="somebody")
    for _ in range(2):
        if stream.champion().version == bad:
            stream.round()
    champion = stream.champion()
    assert (champion.version, champion.replaced) == (healthy, bad)
    assert (champion.act, champion.who, champion.pinned) == ("rollback", "trainer", True)
    assert champion.why.startswith("automatic: AUC")
    assert stream.metric("winnow_trainer_automatic_rollbacks_total") == 1
    stream.worker.publish()
    assert stream.champion() == champion
    newest = stream.registry.versions()[-1]
    assert stream.registry.base_of(newest) is None  # it stands on nothing that may be at fault
    for _ in range(6):
        if not stream.champion().pinned:
            break
        stream.round()
    assert (stream.champion().act, stream.champion().who) == ("unpin", "trainer")
    stream.learn(1)
    assert stream.champion().act == "promote"
    assert stream.metric("winnow_trainer_automatic_rollbacks_total") == 1


def test_what_an_operator_pinned_stays_however_bad_and_is_told(new_worker: MakeWorker, log_url: str) -> None:
    stream = Stream(new_worker, log_url)
    bad = inverted(stream.registry, stream.learn_until_healthy())
    pinned = stream.registry.pin(bad, "I know better", who="somebody")
    stream.learn(4)
    assert stream.champion() == pinned
    assert stream.metric("winnow_trainer_champion_unfit") == 1
    assert stream.metric("winnow_trainer_automatic_rollbacks_total") == 0


def test_a_pinned_version_that_falls_behind_the_learner_is_told(new_worker: MakeWorker, log_url: str) -> None:
    stream = Stream(new_worker, log_url)
    stream.learn(1)
    stream.registry.pin(stream.champion().version, "steady", who="somebody")
    stream.learn(1)
    assert stream.metric("winnow_trainer_champion_unfit") == 0
    for _ in range(10):
        stream.learn(1)
        if stream.metric("winnow_trainer_champion_unfit"):
            break
    assert stream.metric("winnow_trainer_champion_unfit") == 1


def test_the_watch_changes_nothing_that_is_learned(new_worker: MakeWorker, log_url: str, tmp_path: Path) -> None:
    settings = {"window_ms": 60_000, "batch_events": 512, "gate_min_events": 0, "live_time_share": 1.0}
    send(EventLog(log_url), Simulator(WORLD, seed=5).next_block(4 * ROUND).events, batch=512)
    entries = EventLog(log_url).read_after({}, 10_000).entries
    states = []
    for share in (1.0, 0.0):
        worker = new_worker(live_share=share, home=tmp_path / str(share), **settings)
        for start in range(0, len(entries), 64):
            worker._learn(entries[start : start + 64])
            worker.publish()
        states.append({name: array.tobytes() for name, array in worker.learner.state().items()})
        assert (worker.publisher.registry.healthy() is not None) == (share == 1.0)
    assert states[0] == states[1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_good_run_raises_no_alarm(tmp_path: Path, seed: int) -> None:
    torch.set_num_threads(1)
    chosen = {"device": "cpu", "user_capacity": 500, "item_capacity": 500, "side_rows": 1_024, "seed": seed}
    settings = LearnerSettings.model_validate(chosen)
    learner, progressive, registry = Learner(settings), Progressive(), Registry(tmp_path / "registry")
    publisher = Publisher(registry, settings, GatePolicy(), 20, DeltaPolicy(whole_every_s=0.0))
    metrics = TrainerMetrics()
    watch = LiveWatch(publisher, metrics, share=0.2, time_share=1.0)
    for number, block in enumerate(Simulator(WORLD, seed=seed).blocks(24 * 1_024, 1_024)):
        report = learner.step(block.events)
        progressive.add(report, learner)
        watch.observe(report)
        assert not metrics.registry.get_sample_value("winnow_trainer_champion_unfit")
        if number % 2 == 0:
            publisher.publish(learner, progressive.quality(), {}, Account())
    assert registry.healthy() is not None
    assert {change.act for change in registry.history()} == {"promote"}


def test_a_registry_that_fails_does_not_end_the_trainer(new_worker: MakeWorker, log_url: str) -> None:
    stream = Stream(new_worker, log_url)
    stream.learn(1)
    trained = stream.worker.account.trained
    stream.registry.champion_file.write_text("{")
    stream.round()
    assert stream.worker.account.trained > trained


def test_a_version_whose_files_are_damaged_is_not_watched(new_worker: MakeWorker, log_url: str) -> None:
    stream = Stream(new_worker, log_url)
    healthy = stream.learn_until_healthy()
    bad = inverted(stream.registry, healthy)
    with (stream.registry.path(bad) / "users.terms.bin").open("r+b") as file:
        file.write(b"\x01")
    stream.registry.promote(bad, "the service refuses it", who="somebody")
    stream.round(2 * ROUND)
    assert stream.champion().version == bad

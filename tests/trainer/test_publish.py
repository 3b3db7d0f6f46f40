"""A delta serves what the learner says of rows that changed, and a whole version comes where a delta will not do."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.serving.versions import ANY_QUALITY
from contract.errors import Fenced
from contract.events import Events
from contract.hashing import Keys, id_key, id_keys
from contract.judgement import read_judgement
from contract.registry import Registry
from service.proof import open_version
from trainer.checkpoint import Account
from trainer.gates import GATES, Verdict
from trainer.learner import Learner
from trainer.opened import OpenedVersion
from trainer.progressive import Progressive
from trainer.publish import DeltaPolicy, Published, Publisher, drift
from trainer.settings import LearnerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator

ALWAYS = DeltaPolicy(whole_every_s=1e9, max_changed_share=1.0, max_drift=1e9)
BATCH = 512


class Loop:
    """A learner, its publisher and a simulated log of some 400 users and 200 items."""

    def __init__(self, home: Path, deltas: DeltaPolicy, **settings: object) -> None:
        torch.set_num_threads(1)
        chosen = {"device": "cpu", "user_capacity": 300, "item_capacity": 150, "side_rows": 1_024, "dim": 4}
        chosen["holdout_share"] = 0.0  # of items that were seen in the holdout alone nothing is described
        self.settings = LearnerSettings.model_validate(chosen | settings)
        self.learner, self.progressive = Learner(self.settings), Progressive()
        self.registry = Registry(home / "registry")
        self.publisher = Publisher(self.registry, self.settings, ANY_QUALITY, 50, deltas)
        self.simulator = Simulator(SimulatorConfig(users=400, items=200), seed=3)
        self.seen: list[Events] = []

    def learn(self, batches: int) -> None:
        for _ in range(batches):
            self.seen.append(self.simulator.next_block(BATCH).events)
            self.progressive.add(self.learner.step(self.seen[-1]), self.learner)

    def publish(self) -> Published:
        published = self.publisher.publish(self.learner, self.progressive.quality(), {}, Account())
        assert published.promoted, published.reasons
        return published

    def opened(self) -> OpenedVersion:
        version = self.registry.champion()
        assert version is not None
        tables = open_version(self.registry.path(version.version))._tables
        return OpenedVersion(self.registry.path(version.version), tables)


def gap(loop: Loop, user: Keys, item: Keys, side: np.ndarray) -> np.ndarray:
    return np.abs(loop.opened().logits(user, item, side) - loop.learner.predict(user, item, side).logit)


@pytest.mark.parametrize("backbone", ["gmf", "neumf"])
def test_a_delta_is_exact_on_what_was_learned_since_its_base(tmp_path: Path, backbone: str) -> None:
    """Rows expire and change owner all the while: there are more ids than rows."""
    loop = Loop(tmp_path, ALWAYS, backbone=backbone)
    loop.learn(4)
    assert not loop.publish().delta
    for _ in range(3):
        loop.learn(1)
        published = loop.publish()
        assert published.delta
        judged = read_judgement(loop.registry.path(published.version))  # the service takes a version that has it
        assert judged is not None
        assert [gate.gate for gate in judged.gates] == list(GATES)
        events = loop.seen[-1].take(loop.seen[-1].duration_ms > 0)  # an unknown one is known from an earlier event
        assert gap(loop, events.user_key, events.item_key, loop.learner.side_of(events)).max() < 1e-4
    tables = loop.opened().tables
    ids = np.unique(np.concatenate([events.user_key for events in loop.seen]))
    known = tables.users.find(ids) != tables.users.unknown
    assert np.array_equal(known, loop.learner.users.rows(ids) != 0)
    assert 0 < known.sum() < len(ids)


def test_a_delta_is_smaller_than_its_base_and_stands_on_it(tmp_path: Path) -> None:
    loop = Loop(tmp_path, ALWAYS, user_capacity=5_000, item_capacity=5_000, wait_events=0)
    loop.learn(8)
    loop.learner.step(loop.simulator.next_block(4).events)  # what waited is learned
    whole, few = loop.publish(), loop.simulator.next_block(4).events
    loop.learner.step(few)
    delta = loop.publish()
    assert (whole.delta, delta.delta) == (False, True)
    assert loop.registry.base_of(delta.version) == whole.version
    layout = loop.registry.manifest(delta.version).layout
    assert layout.spaces.users.rows <= 1 + 2 * len(few)


def test_what_a_delta_leaves_alone_drifts_and_is_made_anew_before_it_drifts_too_far(tmp_path: Path) -> None:
    loop = Loop(tmp_path, DeltaPolicy(whole_every_s=1e9, max_changed_share=1.0, max_drift=0.02))
    loop.learn(4)
    made = []
    for _ in range(6):
        made.append(loop.publish().delta)
        assert drift(loop.opened(), loop.learner) <= 0.02
        loop.learn(1)
    assert not all(made[1:])


@pytest.mark.parametrize(
    ("deltas", "settings"),
    [
        (DeltaPolicy(whole_every_s=0.0, max_whole_share=1e9, max_changed_share=1.0, max_drift=1e9), {}),
        (DeltaPolicy(whole_every_s=1e9, max_changed_share=0.0, max_drift=1e9), {}),
        (ALWAYS, {"backbone": "lightgcn"}),
    ],
)
def test_a_version_is_whole_when_one_is_due_when_most_has_changed_and_where_rows_do_not_stand_alone(
    tmp_path: Path, deltas: DeltaPolicy, settings: dict[str, object]
) -> None:
    loop = Loop(tmp_path, deltas, **settings)
    for _ in range(2):
        loop.learn(1)
        assert not loop.publish().delta


def test_a_new_publisher_begins_with_a_whole_version(tmp_path: Path) -> None:
    loop = Loop(tmp_path, ALWAYS)
    loop.learn(2)
    loop.publish()
    loop.publisher = Publisher(loop.registry, loop.settings, ANY_QUALITY, 50, ALWAYS)
    loop.learn(1)
    assert not loop.publish().delta


def test_a_delta_on_a_base_that_is_held_reads_no_file_of_the_base(tmp_path: Path) -> None:
    loop = Loop(tmp_path, ALWAYS)
    loop.learn(2)
    whole = loop.registry.path(loop.publish().version)
    held = open_version(whole)
    loop.learn(1)
    delta = loop.registry.path(loop.publish().version)
    whole.rename(whole.parent / "moved")
    opened = open_version(delta, held.whole)
    assert opened.whole is held.whole
    assert opened.answer(id_key("u1"), id_keys(["v1", "v2"])).score.shape == (2,)


def test_a_learner_with_a_number_that_is_not_finite_is_rejected_with_its_reason(tmp_path: Path) -> None:
    loop = Loop(tmp_path, ALWAYS)
    loop.learn(2)
    good = loop.publish().version
    loop.learner.annotator._threshold = float("nan")
    published = loop.publisher.publish(loop.learner, loop.progressive.quality(), {}, Account())
    assert (published.version, published.verdict, published.promoted) == ("", Verdict.REJECT, False)
    assert published.reasons == ["calibration of the learner is not finite; see its checkpoints"]
    assert loop.registry.versions() == [good]


def test_a_full_disk_leaves_the_champion_and_no_half_version_and_the_next_publication_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(tmp_path, ALWAYS)
    loop.learn(2)
    good = loop.publish().version

    def no_space(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("contract.registry.sync_file", no_space)
        with pytest.raises(OSError, match="No space left"):
            loop.publisher.publish(loop.learner, loop.progressive.quality(), {}, Account())
    assert loop.registry.versions() == [good]
    champion = loop.registry.champion()
    assert champion is not None
    assert champion.version == good
    assert loop.publish().version == "000002"


@pytest.mark.parametrize(("passes", "staged"), [(0, 0), (1, 1)])
def test_a_trainer_that_is_replaced_while_it_exports_promotes_nothing(tmp_path: Path, passes: int, staged: int) -> None:
    loop = Loop(tmp_path, ALWAYS)
    loop.learn(1)
    first = loop.publish().version
    loop.learn(1)
    asked: list[int] = []

    def check() -> None:
        asked.append(len(asked))
        if len(asked) > passes:
            raise Fenced("a newer trainer has claimed the event log")

    with pytest.raises(Fenced):
        loop.publisher.publish(loop.learner, Progressive().quality(), {}, Account(), check)
    champion = loop.registry.champion()
    assert champion is not None
    assert champion.version == first
    assert len(loop.registry.versions()) == 1 + staged
    assert not list((tmp_path / "registry" / "staging").iterdir())

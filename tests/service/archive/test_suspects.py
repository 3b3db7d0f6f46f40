"""Suspects: who was put there is found, who is merely different is not, and the figures are those of the rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contract.events import Action, Events
from contract.hashing import id_keys
from contract.label_files import LABELS
from service.archive.archive import Archive
from service.archive.asked import SuspectsAsked
from service.archive.suspects import Sums, judge
from trainer.label_log import LabelLog
from trainer.learner import Learner
from trainer.settings import LearnerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator

NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def home_with_odd_ones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label log of ordinary viewers, of one who loops everything in silence, and of one who likes everything."""
    home = tmp_path_factory.mktemp("odd")
    learner, labels = Learner(LearnerSettings(user_capacity=1_000, item_capacity=1_000)), LabelLog(home / LABELS)
    for number, block in enumerate(Simulator(SimulatorConfig(users=300, items=200), seed=9).blocks(20_000, 500)):
        events = Events.concatenate([block.events, odd(block.events, number)])
        labels.add(learner.step(events), np.full(len(events), NOW_MS))
    labels.write(1)
    return home


def odd(events: Events, number: int) -> Events:
    """Return two views of each of the two odd ones, made of ordinary views."""
    some = events.take(slice(0, 4))
    loops = np.arange(4) < 2
    user = np.where(loops, "looper", "liker").astype(object)
    duration = np.full(4, 20_000, np.int32)
    return replace(
        some,
        user_id=user,
        user_key=id_keys(user.tolist()),
        event_id=np.array([f"odd-{number}-{place}" for place in range(4)], dtype=object),
        event_key=some.event_key + np.uint64(number + 1),
        watch_ms=np.where(loops, 3 * duration, 4_000).astype(np.int32),
        duration_ms=duration,
        actions=np.where(loops, 0, Action.LIKE.bit).astype(np.uint8),
        foreground=np.full(4, -1, np.int8),
    )


def test_a_silent_looper_and_a_liker_of_everything_come_first_with_the_reason(home_with_odd_ones: Path) -> None:
    rows = Archive(home_with_odd_ones, now_ms=lambda: NOW_MS).suspects(SuspectsAsked(kind="user"))["rows"]
    assert {row["id"] for row in rows[:2]} == {"looper", "liker"}
    found = {row["id"]: row for row in rows}
    assert found["liker"]["z"] > 3 > -3 > found["looper"]["z"]
    assert any("something good is said on 100 % of views" in why for why in found["liker"]["why"])
    assert any("loops on 100 % of views" in why for why in found["looper"]["why"])
    assert any("nothing good is ever said in 80 views" in why for why in found["looper"]["why"])


def test_a_suspects_figures_are_those_of_their_rows(home_with_odd_ones: Path) -> None:
    rows = pd.read_parquet(next((home_with_odd_ones / LABELS).glob("*/*.parquet")), partitioning=None)
    rows["w"] = np.where(rows["label"] == "UNLABELLED", rows["relevance"], rows["label"] == "POSITIVE").astype(float)
    rows["cell"] = rows["cell"].fillna(-1)
    others = rows[(rows["user_id"] != "looper") & ~rows["capped"]]
    usual = rows[~rows["capped"]]["w"].mean()
    per_cell = others.groupby("cell")["w"].agg(["sum", "count"])
    rows["expected"] = rows["cell"].map((per_cell["sum"] + 10 * usual) / (per_cell["count"] + 10)).fillna(usual)
    own = rows[rows["user_id"] == "looper"]
    answer = Archive(home_with_odd_ones, now_ms=lambda: NOW_MS).suspects(SuspectsAsked(kind="user"))
    found = next(row for row in answer["rows"] if row["id"] == "looper")
    assert found["views"] == len(own)
    assert found["relevance"] == pytest.approx(own["w"].mean(), abs=1e-6)
    assert found["watch_says"] == pytest.approx(own["expected"].mean(), abs=1e-6)
    assert found["excess"] == pytest.approx((own["w"] - own["expected"]).mean(), abs=1e-6)
    assert answer["judged"] == (rows["user_id"].value_counts() >= 20).sum()


def test_viewers_who_merely_differ_are_rarely_listed() -> None:
    rng, listed = np.random.default_rng(1), 0
    for _ in range(20):
        expected = rng.uniform(0.5, 20.0, 1_000)
        observed = rng.gamma(50.0, expected * np.exp(0.6 * rng.standard_normal(1_000)) / 50.0)
        listed += bool(
            (judge(Sums(50 * expected, observed, expected, 0.02 * expected**2, (), 0.02, ())).q <= 0.1).any()
        )
    assert listed <= 6


def test_nobody_is_suspected_of_an_empty_log(tmp_path: Path) -> None:
    answer = Archive(tmp_path).suspects(SuspectsAsked(kind="item"))
    assert answer["rows"] == []
    assert answer["judged"] == 0

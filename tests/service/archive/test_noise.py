"""The noise audit against a recomputation view by view, and against what a simulated log knows to be true."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from contract.watch import DURATION_EDGES_MS
from service.archive.archive import Archive
from service.archive.asked import AuditAsked
from service.archive.noise import BINS, SHARES, Noise, Sums, audit, tally
from service.archive.noise_audit import relevance_of
from service.archive.strata import DURATIONS, POSITIONS
from service.archive.watch_kinds import KINDS
from trainer.learner import Learner
from trainer.replay import hide_half
from trainer.settings import LearnerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator, _Exposures, _Views
from trainer.viewers import Draws

Floats = npt.NDArray[np.float64]
EVENTS, MEASURED_FROM = 60_000, 20_000


def views_of(stored: pd.DataFrame) -> pd.DataFrame:
    """Return the views an audit is about, with w and how far each is called positive, one by one."""
    views = stored[stored["quantile"].notna() & ~stored["capped"]].copy()
    views["w"] = np.where(views["label"] == "UNLABELLED", views["relevance"], views["label"] == "POSITIVE")
    views["bin"] = np.minimum((views["quantile"] * BINS).astype(int), BINS - 1)
    left, called = views["w"].sum(), {}
    for one, count in views["bin"].value_counts().sort_index(ascending=False).items():
        called[one] = min(1.0, max(0.0, left / count))
        left -= count
    views["c"] = views["bin"].map(called)
    views["wrong"] = views["c"] * (1 - views["w"]) + (1 - views["c"]) * views["w"]
    return views


def test_figures_of_each_position_are_those_of_its_views_one_by_one(archive: Archive, stored: pd.DataFrame) -> None:
    answer, views = archive.audit(AuditAsked(by="position")), views_of(stored)
    assert [row["group"] for row in answer["rows"]] == POSITIONS[:10]
    for place, row in enumerate(answer["rows"]):
        own = views[views["position"] == place]
        assert row["rows"] == len(own)
        assert row["noise_rate"] == pytest.approx(own["wrong"].mean(), abs=1e-6)
        assert row["watch_positives"] == pytest.approx(own["c"].sum(), abs=1e-5)
        assert row["missed"] == pytest.approx(((1 - own["c"]) * own["w"]).sum() / own["w"].sum(), abs=1e-6)
        assert row["noise_low"] < row["noise_rate"] < row["noise_high"]
    assert answer["overall"]["watch_positives"] == pytest.approx(views["w"].sum())
    assert answer["prior"] == pytest.approx(views["w"].mean())


def test_every_grouping_covers_every_view_once(archive: Archive, stored: pd.DataFrame) -> None:
    views = views_of(stored)
    for by in ("duration", "position", "surface", "hour", "flag"):
        answer = archive.audit(AuditAsked.model_validate({"by": by}))
        assert sum(row["rows"] for row in answer["rows"]) == len(views) == answer["overall"]["rows"]
        mean = sum(row["rows"] * row["noise_rate"] for row in answer["rows"]) / len(views)
        assert mean == pytest.approx(views["wrong"].mean(), abs=1e-5)
    durations = {row["group"]: row["rows"] for row in archive.audit(AuditAsked())["rows"]}
    bounds = DURATION_EDGES_MS[3:5]
    assert durations[DURATIONS[4]] == ((views["duration_ms"] >= bounds[0]) & (views["duration_ms"] < bounds[1])).sum()


def test_an_audit_asked_again_is_answered_from_memory_and_alike(archive: Archive) -> None:
    first, again = (archive.audit(AuditAsked(by="flag", hours=24)) for _ in range(2))
    assert first["rows"] == again["rows"]
    assert len(archive._files._kept) == first["searched"]["files"]


def test_an_audit_is_exported_with_its_total(archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "audit.csv"
    assert archive.export_audit(AuditAsked(by="flag"), out) == len(pd.read_csv(out)) > 3
    assert pd.read_csv(out)["group"].iloc[-1] == "all"


def test_an_interval_is_wider_where_users_agree_with_themselves() -> None:
    rng = np.random.default_rng(3)
    user = np.repeat(np.arange(640), 20)
    quantile, group = rng.random(len(user)), np.zeros(len(user), np.int64)
    alike, apart = (rng.random(640) < 0.2)[user].astype(float), (rng.random(len(user)) < 0.2).astype(float)
    reach = {}
    for name, relevance in (("alike", alike), ("apart", apart)):
        _, overall = audited(group, ["all"], user % SHARES, quantile, relevance)
        reach[name] = overall.noise_high - overall.noise_low
    assert reach["alike"] > 2 * reach["apart"]


def test_a_group_of_few_users_has_no_interval_and_an_empty_log_no_figures() -> None:
    few = np.arange(40) % 3
    _, overall = audited(np.zeros(40, np.int64), ["all"], few, np.linspace(0, 1, 40), np.full(40, 0.5))
    assert np.isnan(overall.noise_low)
    _, nothing = audit(Sums())
    assert nothing.rows == 0
    assert np.isnan(nothing.noise_rate)


def audited(
    group: npt.NDArray[np.int64], names: list[str], share: npt.NDArray[np.int64], quantile: Floats, relevance: Floats
) -> tuple[dict[str, Noise], Noise]:
    sums = Sums()
    sums.add(tally(group, names, share, quantile, relevance))
    return audit(sums)


class Confiding(Simulator):
    """A simulator whose blocks say of each exposure whether it was relevant, rather than how likely that was."""

    confides = False  # once its rates are solved for

    def _view(self, draws: Draws, exposures: _Exposures, median_s: float) -> _Views:
        views = super()._view(draws, exposures, median_s)
        if self.confides:
            exposures.truth[:] = draws.relevant < exposures.truth
        return views


@dataclass(frozen=True)
class Known:
    """A replayed log of which everything is known. Columns [N] of views."""

    label: npt.NDArray[np.int64]  # as the learner saw it: half of the words are hidden
    believed: Floats
    quantile: Floats
    kind: npt.NDArray[np.int64]
    share: npt.NDArray[np.int64]
    would_say: Floats  # 1 where something good was said, hidden or not
    relevant: Floats


@pytest.fixture(scope="module")
def known() -> Known:
    """A simulated log through a learner that half of the positive words are hidden from."""
    simulator = Confiding(SimulatorConfig(users=500, items=300), seed=5)
    simulator.confides = True
    learner = Learner(LearnerSettings(user_capacity=1_000, item_capacity=1_000))
    parts: list[pd.DataFrame] = []
    for block in simulator.blocks(EVENTS, 512):
        hidden = hide_half(block.events)
        actions = np.where(hidden, 0, block.events.actions).astype(np.uint8)
        report = learner.step(replace(block.events, actions=actions))
        columns = {
            "label": report.label.astype(np.int64),
            "believed": report.belief,
            "quantile": report.evidence.quantile,
            "kind": np.where(report.evidence.cell < 0, KINDS.index("background"), report.evidence.flag),
            "share": (block.events.user_key >> np.uint64(40)) % np.uint64(SHARES),
            "would_say": (report.label == 1) | hidden,
            "relevant": block.truth,
        }
        parts.append(pd.DataFrame(columns))
    views = pd.concat(parts, ignore_index=True).iloc[MEASURED_FROM:]
    views = views[views["quantile"].notna()]
    return Known(
        views["label"].to_numpy(np.int64),
        views["believed"].to_numpy(np.float64),
        views["quantile"].to_numpy(np.float64),
        views["kind"].to_numpy(np.int64),
        views["share"].to_numpy(np.int64),
        views["would_say"].to_numpy(np.float64),
        views["relevant"].to_numpy(np.float64),
    )


def compared(known: Known, relevance: Floats, truth: Floats) -> pd.DataFrame:
    """Return estimated and true figures by kind of watch."""
    (estimated, all_estimated), (true, all_true) = (
        audited(known.kind, list(KINDS), known.share, known.quantile, w) for w in (relevance, truth)
    )
    rows = [(name, estimated[name], true[name]) for name in estimated if estimated[name].rows >= 500]
    rows.append(("all", all_estimated, all_true))
    return pd.DataFrame({name: {"estimated": a.noise_rate, "true": b.noise_rate} for name, a, b in rows}).T


def test_the_audit_finds_the_noise_that_hidden_words_would_show(known: Known) -> None:
    table = compared(known, relevance_of(known.label, known.believed, None), known.would_say)
    assert len(table) >= 5
    assert table.rank().corr().iloc[0, 1] > 0.85
    assert (table["estimated"] - table["true"]).abs().max() < 0.04
    assert abs(table.loc["all", "estimated"] / table.loc["all", "true"] - 1) < 0.15


def test_told_how_much_is_spoken_the_audit_finds_the_noise_of_latent_relevance(known: Known) -> None:
    spoken = float((known.label == 1).sum() / known.relevant.sum())
    table = compared(known, relevance_of(known.label, known.believed, spoken), known.relevant)
    apart = (table["estimated"] - table["true"]).abs()
    assert table.rank().corr().iloc[0, 1] > 0.85
    assert apart.drop("loop").max() < 0.05
    assert apart["loop"] < 0.25  # 2 % of the views: their evidence is drawn to the average
    assert abs(table.loc["all", "estimated"] - table.loc["all", "true"]) < 0.05

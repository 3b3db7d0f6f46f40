"""Queries over a real label log say what a recomputation by other means says."""

import json
import shutil
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from pydantic import ValidationError

from contract.hashing import id_key
from contract.label_files import HOUR_MS, LABELS
from service.archive.archive import Archive
from service.archive.asked import AuditAsked, HoursAsked, IdsAsked, LabelsAsked, SuspectsAsked
from service.archive.target_histogram import EDGES
from trainer.label_log import LabelLog


@pytest.fixture
def copied(labelled_home: Path, tmp_path: Path) -> Path:
    """A home of one's own with the same label log."""
    home = tmp_path / "copied"
    shutil.copytree(labelled_home / LABELS, home / LABELS)
    return home


def test_a_user_is_found_with_every_row_the_newest_first(archive: Archive, stored: pd.DataFrame) -> None:
    user = stored["user_id"].value_counts().index[20]
    own = stored[stored["user_id"] == user]
    answer = archive.labels(LabelsAsked(user=user, limit=200))
    assert len(answer["rows"]) == len(own) < 200
    assert {row["event_id"] for row in answer["rows"]} == set(own["event_id"])
    times = [row["acknowledged_ms"] for row in answer["rows"]]
    assert times == sorted(times, reverse=True)
    assert answer["more"] is False
    assert answer["searched"]["rows"] == len(stored)


def test_filters_hold_together_and_what_is_over_the_limit_is_more(archive: Archive, stored: pd.DataFrame) -> None:
    both = stored[(stored["label"] == "POSITIVE") & (stored["flag"] == "complete") & stored["cell"].notna()]
    answer = archive.labels(LabelsAsked(label="positive", flag="complete", surface="tab1", limit=200))
    assert {row["event_id"] for row in answer["rows"]} == set(both["event_id"])
    assert archive.labels(LabelsAsked(label="positive", limit=5))["more"] is True
    assert archive.labels(LabelsAsked(user="nobody"))["rows"] == []


def test_a_row_says_what_the_log_holds_and_is_json(archive: Archive, stored: pd.DataFrame) -> None:
    wanted = stored[(stored["label"] == "UNLABELLED") & stored["quantile"].notna()].iloc[17]
    row = archive.event(wanted["event_id"], hours=24)
    assert row is not None
    json.dumps(row, allow_nan=False)
    for name in ("user_id", "item_id", "watch_ms", "position", "quantile", "relevance", "checkpoint"):
        assert row[name] == wanted[name]
    assert row["idl_target"] == pytest.approx(wanted["idl_target"])
    assert row["label"] == "unlabelled"
    assert any(f"watched {row['watch_ms'] / 1000:.1f} s" in reason for reason in row["reasons"])
    assert archive.event("no such event", hours=24) is None


def test_the_most_doubtful_come_first(archive: Archive, stored: pd.DataFrame) -> None:
    relevance, score, threshold = (stored[name].to_numpy(np.float64) for name in ("relevance", "score", "threshold"))
    odds = [np.log(p / (1 - p)) for p in (relevance, score, threshold)]
    margin, before = odds[0] - odds[2], odds[1] - odds[2]
    added = margin - before
    torn = np.where(before * added < 0, np.minimum(abs(before), abs(added)), 0)
    unsaid = np.exp(-abs(margin)) * (1 + 1 - np.exp(-torn)) / 2
    word = np.where(stored["label"] == "POSITIVE", -margin, margin)
    doubt = np.where(stored["label"] == "UNLABELLED", unsaid, (1 - np.exp(-np.maximum(word, 0))) / 2)
    answer = archive.labels(LabelsAsked(order="doubtful", limit=100))
    assert [row["doubt"] for row in answer["rows"]] == pytest.approx(np.sort(doubt)[::-1][:100], abs=1e-4)
    assert 0.0 <= doubt.min() <= doubt.max() <= 1.0


def test_the_histogram_counts_every_target_of_the_unlabelled(archive: Archive, stored: pd.DataFrame) -> None:
    answer = archive.histogram(HoursAsked())
    learned = stored[~stored["held_out"] & ~stored["capped"]]
    target = learned[(learned["label"] == "UNLABELLED") & learned["target"].notna()]["target"].to_numpy()
    expected = np.histogram(np.maximum(target, EDGES[0]), EDGES)[0]
    assert answer["counts"] == expected.tolist()
    assert np.sum(list(answer["by_flag"].values()), axis=0).tolist() == answer["counts"]
    assert answer["mean"] == pytest.approx(target.mean())
    assert answer["prior"] == pytest.approx((learned["label"] == "POSITIVE").mean())


def test_ids_are_the_most_active_and_hold_the_text(archive: Archive, stored: pd.DataFrame) -> None:
    counts = stored["user_id"].value_counts()
    answer = archive.ids(IdsAsked(kind="user", like="u1", limit=10))
    found = {row["id"]: row["events"] for row in answer["ids"]}
    assert found == {user: counts[user] for user in found}
    assert len(found) == 10
    assert all("u1" in user for user in found)
    assert max(counts[counts.index.str.contains("u1")]) == answer["ids"][0]["events"]


def test_pairs_are_distinct_and_real(archive: Archive, stored: pd.DataFrame) -> None:
    drawn = archive.pairs(50)
    assert len(set(drawn)) == 50
    assert set(drawn) <= set(stored[["user_id", "item_id", "surface"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_export_has_the_rows_asked_for_and_every_column(
    archive: Archive, stored: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"rows.{suffix}"
    assert archive.export_labels(LabelsAsked(label="positive"), out) == (stored["label"] == "POSITIVE").sum()
    back = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert set(back["event_id"]) == set(stored[stored["label"] == "POSITIVE"]["event_id"])
    assert set(back.columns) == set(stored.columns)


def test_no_row_comes_twice_where_an_hour_has_its_file_and_its_parts_still(
    labelled_home: Path, copied: Path, stored: pd.DataFrame
) -> None:
    later = int(stored["acknowledged_ms"].max()) + HOUR_MS
    LabelLog(copied / LABELS).compact(later, through=4)
    assert list((copied / LABELS).glob("*.parquet"))
    shutil.copytree(labelled_home / LABELS, copied / LABELS, dirs_exist_ok=True)  # as a crash leaves it
    archive = Archive(copied, now_ms=lambda: later)
    assert archive.ids(IdsAsked(kind="user", limit=1))["searched"]["rows"] == len(stored)


def test_an_hour_that_is_compacted_while_it_is_read_is_read_anew(
    copied: Path, stored: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = int(stored["acknowledged_ms"].max()) + 2 * HOUR_MS
    archive = Archive(copied, now_ms=lambda: later)
    looked = archive._files._paths

    def compacted_after(hour: str) -> list[Path]:
        paths = looked(hour)
        LabelLog(copied / LABELS).compact(later, through=100)
        return paths

    monkeypatch.setattr(archive._files, "_paths", compacted_after)
    answer = archive.ids(IdsAsked(kind="item", limit=200))
    assert sum(row["events"] for row in answer["ids"]) == len(stored) == answer["searched"]["rows"]


def test_what_was_counted_of_a_file_is_forgotten_with_a_user(copied: Path, stored: pd.DataFrame) -> None:
    archive, user = Archive(copied), stored["user_id"].iloc[0]
    assert user in {row["id"] for row in archive.ids(IdsAsked(like=user, limit=200))["ids"]}
    LabelLog(copied / LABELS).drop_users_on_disk({id_key(user)})
    assert user not in {row["id"] for row in archive.ids(IdsAsked(like=user, limit=200))["ids"]}


def test_files_of_an_earlier_release_are_read_with_nulls(labelled_home: Path, tmp_path: Path) -> None:
    written = min((labelled_home / LABELS).glob("*/*.parquet"))
    old = tmp_path / "home" / LABELS / written.parent.name / written.name
    old.parent.mkdir(parents=True)
    later_columns = ["position", "threshold", "idl_target", "checkpoint"]
    pd.read_parquet(written, partitioning=None).drop(columns=later_columns).to_parquet(old)
    archive = Archive(tmp_path / "home")
    (row,) = archive.labels(LabelsAsked(order="doubtful", limit=1))["rows"]
    assert row["position"] is row["checkpoint"] is row["idl_target"] is None
    assert archive.export_labels(LabelsAsked(), tmp_path / "old.parquet") > 0


def test_a_damaged_file_is_passed_over_and_told(copied: Path, stored: pd.DataFrame) -> None:
    part = next((copied / LABELS).glob("*/00000002.parquet"))
    part.write_bytes(part.read_bytes()[:1_000])
    searched = Archive(copied).ids(IdsAsked())["searched"]
    assert searched["damaged"] == 1
    assert 0 < searched["rows"] < len(stored)


def test_a_home_without_labels_answers_with_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    assert archive.labels(LabelsAsked())["rows"] == []
    assert archive.histogram(HoursAsked())["rows"] == 0
    assert archive.ids(IdsAsked())["ids"] == []
    assert archive.pairs(5) == []
    assert archive.export_labels(LabelsAsked(), tmp_path / "none.csv") == 0


def test_every_answer_is_json(archive: Archive) -> None:
    answers = [
        archive.labels(LabelsAsked(order="doubtful", limit=200)),
        archive.histogram(HoursAsked()),
        archive.audit(AuditAsked(by="flag")),
        archive.suspects(SuspectsAsked(kind="item")),
        archive.ids(IdsAsked()),
    ]
    for answer in answers:
        assert orjson.loads(orjson.dumps(answer)) == json.loads(json.dumps(answer, allow_nan=False))


def test_what_is_asked_has_bounds_and_empty_fields_are_not_given() -> None:
    assert LabelsAsked.model_validate({"user": "", "flag": "", "limit": "7"}).limit == 7
    for wrong in ({"hours": 169}, {"limit": 201}, {"flag": "lopp"}, {"user": "a\nb"}, {"colour": "red"}):
        with pytest.raises(ValidationError):
            LabelsAsked.model_validate(wrong)

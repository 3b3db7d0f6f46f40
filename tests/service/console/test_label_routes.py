"""Labels in the console: what is found, what is refused, and what leaves as a file."""

from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from contract.pseudonyms import Pseudonyms
from service.console.asking import as_stored
from service.settings import ServiceSettings
from tests.service.console.ports import Ports, ports_of

LABELS = "/console/api/labels"


def test_rows_are_found_by_user_and_show_what_was_searched(labelled: Ports, stored: pd.DataFrame) -> None:
    counts = stored["user_id"].value_counts()
    user = counts[counts <= 200].index[0]
    for client in (labelled.callers, labelled.admin):
        found = client.get(f"{LABELS}?user={user}&limit=200").json()
        assert {row["event_id"] for row in found["rows"]} == set(stored[stored["user_id"] == user]["event_id"])
        assert found["searched"]["rows"] > 0
        assert found["overrides_read"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=999999999999", "limit"),
        ("hours=0", "hours"),
        ("hours=169", "hours"),
        ("hours=nan", "hours"),
        ("user=%00", "user"),
        ("event=" + "a" * 129, "event"),
        ("flag=s3cr3t", "flag"),
        ("label=s3cr3t", "label"),
        ("order=s3cr3t", "order"),
        ("s3cr3t=1", "body"),
    ],
)
def test_a_query_that_is_not_valid_names_its_field_and_repeats_nothing(ports: Ports, query: str, field: str) -> None:
    answer = ports.callers.get(f"{LABELS}?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "s3cr3t" not in answer.text


def test_without_a_label_log_the_reason_is_given(ports: Ports) -> None:
    for path in (LABELS, f"{LABELS}/histogram", f"{LABELS}/export", "/console/api/audit", "/console/api/ids"):
        answer = ports.callers.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (501, "application/problem+json")
        assert "there is no label log in this home" in answer.json()["detail"]


def test_the_histogram_and_the_ids_are_those_of_the_archive(labelled: Ports, stored: pd.DataFrame) -> None:
    assert labelled.callers.get(f"{LABELS}/histogram").json()["rows"] > 0
    found = labelled.callers.get("/console/api/ids?kind=item&limit=3").json()["ids"]
    assert [each["events"] for each in found] == stored["item_id"].value_counts().tolist()[:3]


def test_an_export_has_every_row_and_leaves_no_file(
    labelled: Ports, stored: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = labelled.callers.get(f"{LABELS}/export?format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="labels.csv"'
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert set(pd.read_csv(BytesIO(answer.content), dtype=str)["event_id"]) == set(stored["event_id"])
    parquet = labelled.callers.get(f"{LABELS}/export?format=parquet&label=positive").content
    assert len(pd.read_parquet(BytesIO(parquet))) == (stored["label"] == "POSITIVE").sum()
    assert labelled.callers.get(f"{LABELS}/export?format=exe").status_code == 422
    assert list(tmp_path.glob("winnow-export-*")) == []


def test_the_audit_is_that_of_the_archive_and_can_be_taken_along(labelled: Ports) -> None:
    found = labelled.callers.get("/console/api/audit?by=surface").json()
    assert found["by"] == "surface"
    exported = labelled.callers.get("/console/api/audit/export?by=surface&format=csv")
    assert len(pd.read_csv(BytesIO(exported.content))) >= len(found["rows"])
    assert labelled.callers.get("/console/api/audit?by=s3cr3t").status_code == 422
    assert "rows" in labelled.callers.get("/console/api/audit/suspects?kind=item&limit=5").json()


def test_ids_are_looked_up_as_they_are_stored_and_pseudonyms_as_they_are() -> None:
    hidden = Pseudonyms("all", b"s" * 32)
    user = hidden.user("u1")
    assert as_stored({"user": "u1", "item": "v1"}, hidden) == {"user": user, "item": hidden.item("v1")}
    assert as_stored({"user": user, "item": None}, hidden) == {"user": user, "item": None}
    assert as_stored({"user": "u1", "item": "v1"}, Pseudonyms()) == {"user": "u1", "item": "v1"}


def test_a_log_that_is_away_leaves_the_rows_without_their_overrides(labelled: Ports, settings: ServiceSettings) -> None:
    with ports_of(settings.model_copy(update={"redis_url": None})) as ports:
        found = ports.callers.get(f"{LABELS}?limit=1").json()
        assert (len(found["rows"]), found["overrides_read"]) == (1, False)
        assert ports.callers.get("/console/api/overrides").status_code == 503


def test_both_ports_show_an_event_what_became_of_it(labelled: Ports, stored: pd.DataFrame) -> None:
    event = stored.iloc[0]
    for client in (labelled.callers, labelled.admin):
        receipt = client.get(f"/console/api/receipts/{event['event_id']}").json()
        assert (receipt["event_id"], receipt["trained"]["checkpoint"]) == (event["event_id"], event["checkpoint"])
        assert client.get("/console/api/receipts/nobody").status_code == 404

"""A label put right by a person: audited, learned as an explicit event, and on the admin port only."""

import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contract.api_keys import Role, new_key, write_keys
from contract.event_log import EventLog
from service.settings import ServiceSettings
from tests.service.console.ports import Ports, ports_of
from tests.service.test_receipts import worker as worker
from trainer.worker import Worker

LABELS = "/console/api/labels"
ASKED = {"label": "negative", "why": "the thumbnail lies"}
WATCH = {"event_id": "e1", "user_id": "u1", "item_id": "v1", "at": 1, "watch_ms": 900, "surface": "feed"}


def path_of(event_id: object) -> str:
    return f"{LABELS}/{event_id}:override"


def row_of(ports: Ports, event_id: str) -> dict[str, Any]:
    (row,) = ports.callers.get(f"{LABELS}?event={event_id}").json()["rows"]
    return dict(row)


def test_an_override_becomes_a_label_that_was_said(ports: Ports, worker: Worker) -> None:
    assert ports.callers.post("/v1/feedback", json=WATCH).status_code == 202
    worker.drain()
    assert row_of(ports, "e1")["label"] == "unlabelled"
    answer = ports.admin.post(path_of("e1"), json={"label": "positive", "why": "she said so"})
    assert (answer.status_code, answer.json()["override_of"]) == (202, "e1")
    worker.drain()
    new = row_of(ports, answer.json()["event_id"])
    assert (new["user_id"], new["item_id"], new["surface"], new["label"]) == ("u1", "v1", "feed", "positive")
    assert (new["actions"], new["watch_ms"], new["capped"]) == (["like"], None, False)


def test_who_overrode_what_and_why_is_kept_and_shown_beside_the_row(
    labelled: Ports, stored: pd.DataFrame, log_url: str
) -> None:
    event_id = str(stored["event_id"][0])
    before_ms = time.time_ns() // 1_000_000
    new = labelled.admin.post(path_of(event_id), json=ASKED).json()["event_id"]
    (kept,) = labelled.callers.get("/console/api/overrides").json()["overrides"]
    assert kept.pop("at_ms") >= before_ms
    assert kept == {"event_id": new, "override_of": event_id, "who": "anonymous", **ASKED}
    assert row_of(labelled, event_id)["override"]["why"] == ASKED["why"]
    log = EventLog(log_url)
    assert sum(entry.events for entry in log.read_after({}, 10).entries) == 1
    log.close()


def test_the_last_of_two_overrides_counts_and_both_are_kept(labelled: Ports, stored: pd.DataFrame) -> None:
    event_id = str(stored["event_id"][0])
    for label in ("negative", "positive"):
        labelled.admin.post(path_of(event_id), json={"label": label, "why": "a test"})
    assert row_of(labelled, event_id)["override"]["label"] == "positive"
    kept = labelled.admin.get("/console/api/overrides").json()["overrides"]
    assert [each["label"] for each in kept] == ["positive", "negative"]


def test_the_callers_port_changes_nothing(labelled: Ports, stored: pd.DataFrame) -> None:
    refused = labelled.callers.post(path_of(stored["event_id"][0]), json=ASKED)
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")
    for path in ("/admin/models:rollback", "/admin/models/000001:promote"):
        assert labelled.callers.post(path, json={"why": "x"}).status_code == 404
    assert labelled.callers.get("/console/api/overrides").json() == {"overrides": []}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {}}, 422),
        ({"json": ASKED | {"label": "maybe"}}, 422),
        ({"json": ASKED | {"why": ""}}, 422),
        ({"json": ASKED | {"why": "a\nb"}}, 422),
        ({"json": ASKED | {"why": "a" * 201}}, 422),
        ({"json": ASKED | {"more": 1}}, 422),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
    ],
)
def test_an_override_without_a_label_and_a_reason_is_refused(ports: Ports, sent: dict[str, Any], status: int) -> None:
    assert ports.admin.post(path_of("e1"), **sent).status_code == status


def test_an_event_that_is_not_in_the_label_log_cannot_be_overridden(labelled: Ports) -> None:
    assert labelled.admin.post(path_of("nothing"), json=ASKED).status_code == 404
    for bad in ("%00", "a" * 129):
        assert labelled.admin.post(path_of(bad), json=ASKED).status_code == 422


def test_an_override_takes_an_admin_key_which_is_named(
    labelled_home: Path, stored: pd.DataFrame, settings: ServiceSettings, tmp_path: Path
) -> None:
    shutil.copytree(labelled_home, settings.home, dirs_exist_ok=True)
    keys = {role: new_key([role], role) for role in (Role.ADMIN, Role.CONSOLE)}
    write_keys(tmp_path / "keys.json", [entry for _, entry in keys.values()])
    with ports_of(settings.model_copy(update={"api_keys_file": tmp_path / "keys.json"})) as ports:
        path = path_of(stored["event_id"][0])
        for role, status in ((Role.CONSOLE, 403), (Role.ADMIN, 202)):
            assert ports.admin.post(path, json=ASKED, headers={"x-api-key": keys[role][0]}).status_code == status
        (kept,) = ports.admin.get("/console/api/overrides", {"x-api-key": keys[Role.CONSOLE][0]}).json()["overrides"]
        assert kept["who"] == keys[Role.ADMIN][1].id


def test_without_keys_a_name_that_a_page_brought_overrides_nothing(settings: ServiceSettings) -> None:
    with ports_of(settings, "rebound.example") as ports:
        assert ports.admin.post(path_of("e1"), json=ASKED).status_code == 403

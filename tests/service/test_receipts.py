"""Receipts: what became of an event, through a real log, trainer and registry."""

import time
from pathlib import Path

import pytest

from contract.api import Receipt
from contract.api_keys import Role, new_key, write_keys
from contract.blocks import encode_block
from contract.dead_letters import DeadLetter, DeadLetters, Reason
from contract.event_log import EventLog
from contract.registry import Registry
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of
from tests.trainer.conftest import some_events
from tests.versions import promote_version
from trainer.app import make_worker
from trainer.settings import TrainerSettings
from trainer.worker import Worker

EVENT = {"event_id": "a/b ü?#1", "user_id": "u1", "item_id": "v1", "at": 1, "watch_ms": 900, "actions": ["like"]}
PATH = "/v1/feedback/a%2Fb%20%C3%BC%3F%231"


@pytest.fixture
def worker(home: Path, log_url: str) -> Worker:
    settings = {"home": home, "redis_url": log_url, "window_ms": 20, "trainer_metrics_port": 0}
    worker = make_worker(TrainerSettings.model_validate(settings))
    worker.attach()
    return worker


def receipt(client: Client, path: str = PATH) -> Receipt:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return Receipt.model_validate_json(answer.content)


def test_an_event_is_accepted_then_trained_then_served(client: Client, worker: Worker, registry: Registry) -> None:
    before_ms = time.time_ns() // 1_000_000
    assert client.post("/v1/feedback", json=EVENT).status_code == 202
    accepted = receipt(client)
    assert (accepted.event_id, accepted.state, accepted.trained) == (EVENT["event_id"], "accepted", None)
    assert abs(accepted.accepted_ms - before_ms) < 60_000

    worker.drain()
    trained = receipt(client)
    assert (trained.state, trained.accepted_ms, trained.served) == ("trained", accepted.accepted_ms, None)
    assert trained.trained is not None
    assert trained.trained.checkpoint == 1

    promote_version(registry, seed=1, acknowledged_ms=accepted.accepted_ms)  # has what came before, not this
    assert receipt(client).state == "trained"
    first, _ = promote_version(registry, seed=2, acknowledged_ms=accepted.accepted_ms + 1)
    promote_version(registry, seed=3, acknowledged_ms=accepted.accepted_ms + 2)
    served = receipt(client)
    assert (served.state, served.served and served.served.version) == ("served", first)


def test_an_event_that_was_put_aside_says_why(client: Client, log_url: str) -> None:
    log = EventLog(log_url)
    letters = DeadLetters(log)
    letters.put(DeadLetter("3/1795593600120-0#2", Reason.KILLED, "a test", 1, encode_block(some_events(1, prefix="x"))))
    letters.put(DeadLetter("3/1795593600121-0", Reason.UNSOUND, "a test", 1, b"WNW1 0190a5c2-8b1e-7cc3-98c4 cut"))
    log.close()
    found = receipt(client, "/v1/feedback/x0")
    assert (found.state, found.dead_letter, found.accepted_ms) == ("dead_letter", "killed-the-trainer", 1795593600120)
    assert receipt(client, "/v1/feedback/0190a5c2-8b1e-7cc3-98c4").dead_letter == "unsound"
    assert client.get("/v1/feedback/WNW1").status_code == 501  # too short an id to be told from a broken block


def test_an_unknown_event_says_how_far_was_searched(client: Client, worker: Worker) -> None:
    assert client.post("/v1/feedback", json=EVENT).status_code == 202
    answer = client.get("/v1/feedback/s3cr3t")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "the label log of the last 168 hours" in answer.json()["detail"]
    assert "1 events that wait to be learned" in answer.json()["detail"]
    assert "s3cr3t" not in answer.text


def test_without_the_label_log_what_is_learned_cannot_be_said(client: Client) -> None:
    assert client.post("/v1/feedback", json=EVENT).status_code == 202
    assert receipt(client).state == "accepted"
    answer = client.get("/v1/feedback/other")
    assert answer.status_code == 501
    assert "what is learned cannot be seen here: there is no label log in this home" in answer.json()["detail"]


@pytest.mark.parametrize("event_id", ["a" * 129, "%00", "a%7Fb"])
def test_what_is_no_event_id_is_refused(client: Client, event_id: str) -> None:
    answer = client.get(f"/v1/feedback/{event_id}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_without_a_log_there_are_no_receipts(settings: ServiceSettings) -> None:
    with client_of(settings.model_copy(update={"redis_url": None})) as client:
        assert client.get("/v1/feedback/e1").status_code == 503


def test_a_receipt_takes_a_key_for_feedback(settings: ServiceSettings, tmp_path: Path) -> None:
    keys = {role: new_key([role], role) for role in (Role.FEEDBACK, Role.SCORE)}
    write_keys(tmp_path / "keys.json", [entry for _, entry in keys.values()])
    with client_of(settings.model_copy(update={"api_keys_file": tmp_path / "keys.json"})) as client:
        asked = {role: client.get("/v1/feedback/e1", {"x-api-key": key}).status_code for role, (key, _) in keys.items()}
        assert asked == {Role.FEEDBACK: 501, Role.SCORE: 403}
        assert client.get("/v1/feedback/e1").status_code == 401

"""Scores give signed impressions, and feedback that cites one proves that the item was shown (P10)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.api import ScoreBatchResponse, ScoreResponse
from contract.errors import SetupError
from contract.event_log import EventLog
from contract.impressions import Impressions, Proof
from contract.registry import Registry
from contract.secret_files import make_secret_file, new_secret, read_secrets, replace_secrets
from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, metric
from tests.versions import promote_version

ITEMS = [f"v{number}" for number in range(40)]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    make_secret_file(tmp_path / "secrets")
    return tmp_path / "secrets"


@pytest.fixture
def settings(home: Path, log_url: str, secrets: Path) -> ServiceSettings:
    return ServiceSettings(home=home, redis_url=log_url, impression_secrets_file=secrets)


@pytest.fixture
def strict(settings: ServiceSettings, registry: Registry) -> Iterator[Client]:
    promote_version(registry)
    with client_of(settings.model_copy(update={"require_impression": True})) as client:
        yield client


def shown(client: Client, **fields: object) -> ScoreResponse:
    asked = {"user_id": "u1", "candidates": ITEMS, "impressions": True} | fields
    response = client.post("/v1/score", json=asked)
    assert response.status_code == 200, response.text
    return ScoreResponse.model_validate_json(response.content)


def impression(client: Client, item: str = "v2", **fields: object) -> str:
    [found] = shown(client, candidates=[item], **fields).items or []
    assert found.impression_id is not None
    return found.impression_id


def event(number: int = 0, **fields: object) -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": "u1", "item_id": "v2", "at": 1, "watch_ms": 1} | fields


def counted(client: Client, proof: Proof) -> float:
    return metric(client, f'winnow_feedback_impressions_total{{proof="{proof.value}"}}')


def stored_entries(url: str) -> int:
    log = EventLog(url)
    try:
        return len(log.read_after({}, 100).entries)
    finally:
        log.close()


def problem_of(response: httpx.Response) -> list[tuple[str, str]]:
    assert response.status_code == 422
    return [(error["field"], error["problem"]) for error in response.json()["errors"]]


@pytest.mark.parametrize(
    "fields", [{}, {"explain": True}, {"top_k": 3}, {"candidates": ["v2", "v1", "v2", 7]}], ids=str
)
def test_every_item_that_is_shown_has_an_impression_of_its_own(
    strict: Client, secrets: Path, fields: dict[str, object]
) -> None:
    impressions = Impressions(read_secrets(secrets, "S"), 60)
    answer, columns = shown(strict, **fields), shown(strict, format="columns", **fields).columns
    assert columns is not None
    pairs = [(item.item_id, item.impression_id or "") for item in answer.items or []]
    pairs += zip(columns.item_id, columns.impression_id or [], strict=True)
    assert {impressions.proof(token, "u1", item, time.time_ns() // 1_000_000) for item, token in pairs} == {Proof.VALID}


def test_what_asks_for_none_gets_none(strict: Client) -> None:
    answer = strict.post("/v1/score", json={"user_id": "u1", "candidates": ITEMS}).json()
    assert {"item_id", "score", "label", "confidence", "known"} == answer["items"][0].keys()


def test_a_batch_gives_each_user_impressions_of_their_own(strict: Client) -> None:
    one = {"candidates": ["v2", "v1"], "impressions": True}
    requests = [one | {"user_id": "u1"}, one | {"user_id": "u2"}, {"user_id": "u3", "candidates": ["v2"]}]
    response = strict.post("/v1/score:batch", json={"requests": requests})
    first, second, third = ScoreBatchResponse.model_validate_json(response.content).results
    tokens = {item.item_id: item.impression_id for item in first.items or []}
    assert strict.post("/v1/feedback", json=event(impression_id=tokens["v2"])).status_code == 202
    assert strict.post("/v1/feedback", json=event(user_id="u2", impression_id=tokens["v2"])).status_code == 422
    assert not {*tokens.values()} & {item.impression_id for item in second.items or []}
    assert [item.impression_id for item in third.items or []] == [None]


def test_several_events_of_one_exposure_may_cite_it(strict: Client, log_url: str) -> None:
    token = impression(strict)
    for number, said in enumerate([{}, {"watch_ms": None, "actions": ["like"]}]):
        assert strict.post("/v1/feedback", json=event(number, impression_id=token, **said)).status_code == 202
    assert counted(strict, Proof.VALID) == 2
    assert stored_entries(log_url) == 2


def test_where_they_are_required_one_event_without_refuses_all_with_its_place(strict: Client, log_url: str) -> None:
    good = impression(strict)
    cited = [good, None, "imp-5f0c6c1e", good, "A" * 40]
    events = [event(n, impression_id=token) for n, token in enumerate(cited)]
    events[3]["item_id"] = "v3"
    events[4]["impression_id"] = "AQ" + "A" * 38
    response = strict.post("/v1/feedback", json=events)
    assert [(field, problem.split(";")[0]) for field, problem in problem_of(response)] == [
        ("events.1.impression_id", "is required here"),
        ("events.2.impression_id", "is not one of this service's"),
        ("events.3.impression_id", "does not prove that this user was shown this item"),
        ("events.4.impression_id", "does not prove that this user was shown this item"),
    ]
    assert response.json()["detail"].startswith("4 of 5 events cite no valid impression; nothing was stored")
    assert good not in response.text
    assert stored_entries(log_url) == 0
    counts = [counted(strict, proof) for proof in (Proof.VALID, Proof.ABSENT, Proof.FOREIGN, Proof.WRONG)]
    assert counts == [1, 1, 1, 2]


def test_at_most_twenty_places_are_listed(strict: Client) -> None:
    response = strict.post("/v1/feedback", json=[event(number) for number in range(30)])
    assert [field for field, _ in problem_of(response)] == [f"events.{n}.impression_id" for n in range(20)]
    assert response.json()["detail"].startswith("30 of 30")


def test_an_old_one_and_one_from_the_future_are_refused(strict: Client, secrets: Path) -> None:
    signing = Impressions(read_secrets(secrets, "S"), 60)
    for at_ms, why in [(1_000, "is too old"), (2**47, "is from the future")]:
        [token] = signing.sign("u1", [b"v2"], "000001", at_ms)
        [(_, problem)] = problem_of(strict.post("/v1/feedback", json=event(impression_id=token)))
        assert problem.startswith(why)


def test_where_they_are_not_required_all_is_kept_and_counted(client: Client, log_url: str) -> None:
    good = impression(client)
    for number, fields in enumerate([{"impression_id": good}, {"impression_id": "another ranker's"}, {}]):
        assert client.post("/v1/feedback", json=event(number, **fields)).status_code == 202
    assert client.post("/v1/feedback", json=event(3, impression_id=good, item_id="v3")).status_code == 202
    proofs = (Proof.VALID, Proof.FOREIGN, Proof.ABSENT, Proof.WRONG)
    assert [counted(client, proof) for proof in proofs] == [1, 1, 1, 1]
    assert stored_entries(log_url) == 4


def test_labels_ask_for_no_impression_for_nothing_is_stored(strict: Client) -> None:
    assert strict.post("/v1/labels", json=event()).status_code == 200


def test_a_service_without_a_secret_says_that_it_signs_none(home: Path) -> None:
    with client_of(ServiceSettings(home=home)) as client:
        response = client.post("/v1/score", json={"user_id": "u1", "candidates": ["v1"], "impressions": True})
    assert response.status_code == 422
    assert "WINNOW_IMPRESSION_SECRETS_FILE" in response.json()["detail"]


def test_a_service_that_requires_what_it_cannot_verify_does_not_start(home: Path) -> None:
    with pytest.raises(SetupError, match="WINNOW_REQUIRE_IMPRESSION is set and WINNOW_IMPRESSION_SECRETS_FILE is not"):
        create_app(ServiceSettings(home=home, require_impression=True))


def test_while_a_secret_is_rotated_service_by_service_no_proof_is_lost(
    settings: ServiceSettings, secrets: Path
) -> None:
    strict = settings.model_copy(update={"require_impression": True})
    [old] = read_secrets(secrets, "S")
    new = new_secret()
    for before, after in [([old], [old, new]), ([old, new], [new, old]), ([new, old], [new, old])]:
        replace_secrets(secrets, before)
        with client_of(strict) as first:
            replace_secrets(secrets, after)
            with client_of(strict) as second:
                for signing, verifying in [(first, second), (second, first)]:
                    token = impression(signing)
                    assert verifying.post("/v1/feedback", json=event(impression_id=token)).status_code == 202

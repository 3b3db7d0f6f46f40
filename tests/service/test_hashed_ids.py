"""With hashed ids nothing that is stored holds the ids that were sent, and all that is asked still finds them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.api import LabelsResponse, ScoreResponse
from contract.blocks import decode_block
from contract.event_log import EventLog
from contract.pseudonyms import Pseudonyms
from contract.registry import Registry
from contract.secret_files import make_secret_file
from contract.settings import HashIds
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of
from tests.service.open_inference import INFER, asked
from tests.versions import ITEMS, USERS, Expected, promote_version, side_of

EVENT = {"event_id": "e1", "user_id": "u1", "item_id": "v1", "author_id": "a7", "at": 1, "watch_ms": 5, "tags": ["39"]}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    make_secret_file(tmp_path / "secret")
    return tmp_path / "secret"


@pytest.fixture(params=["users", "all"])
def settings(request: pytest.FixtureRequest, home: Path, log_url: str, secret: Path) -> ServiceSettings:
    hides: HashIds = request.param
    return ServiceSettings(home=home, redis_url=log_url, hash_ids=hides, id_secret_file=secret)


@pytest.fixture
def pseudonyms(settings: ServiceSettings) -> Pseudonyms:
    return Pseudonyms.of(settings)


@pytest.fixture
def champion(registry: Registry, pseudonyms: Pseudonyms) -> Expected:
    """A version that was learned from events of this service."""
    users = {pseudonyms.user(user): row for user, row in USERS.items()}
    items = {pseudonyms.item(item): row for item, row in ITEMS.items()}
    return promote_version(registry, users=users, items=items)[1]


@pytest.fixture
def client(settings: ServiceSettings, champion: Expected) -> Iterator[Client]:
    with client_of(settings) as client:
        yield client


def test_what_is_stored_holds_no_hidden_id(client: Client, log_url: str, pseudonyms: Pseudonyms) -> None:
    sent = EVENT | {"user_id": "viewer-of-flesh", "author_id": "author-of-flesh", "item_id": "item-of-bits"}
    assert client.post("/v1/feedback", json=sent).json() == {"accepted": 1, "event_ids": ["e1"]}
    log = EventLog(log_url)
    [entry] = log.read_after({}, 10).entries
    log.close()
    assert b"flesh" not in entry.block
    assert (b"of-bits" in entry.block) is not pseudonyms.hides_items
    events = decode_block(entry.block)
    assert events.user_id.tolist() == [pseudonyms.user("viewer-of-flesh")]
    assert events.author_id.tolist() == [pseudonyms.author("author-of-flesh")]
    assert events.item_id.tolist() == [pseudonyms.item("item-of-bits")]
    assert (events.event_id.tolist(), events.tags.tolist()) == (["e1"], ["39"])


def test_scores_find_known_ids_and_name_them_as_they_were_sent(
    client: Client, champion: Expected, pseudonyms: Pseudonyms
) -> None:
    answers = [client.post("/v1/score", json={"user_id": "u1", "candidates": list(ITEMS)}).json()]
    rich = {"user_id": "u1", "candidates": [{"item_id": item} for item in ITEMS], "explain": True}
    answers.append(client.post("/v1/score", json=rich).json())
    batch = client.post("/v1/score:batch", json={"requests": [rich]}).json()
    assert batch["results"][0]["user_id"] == "u1"
    answers.append({**batch, **batch["results"][0]})
    expected = {item: champion.score(pseudonyms.user("u1"), pseudonyms.item(item)) for item in ITEMS}
    for answer in answers:
        found = ScoreResponse.model_validate(
            {name: answer[name] for name in ("request_id", "model", "known_user", "items")}
        )
        assert found.known_user
        assert {item.item_id: item.score for item in found.items or []} == pytest.approx(expected, abs=1e-6)
        assert all(item.known for item in found.items or [])


def test_what_is_told_of_an_authors_new_item_finds_the_author(
    client: Client, champion: Expected, pseudonyms: Pseudonyms
) -> None:
    told = {"user_id": "u1", "candidates": [{"item_id": "new", "author_id": "a7"}]}
    [item] = client.post("/v1/score", json=told).json()["items"]
    side = side_of("", pseudonyms.author("a7"))
    assert item["score"] == pytest.approx(champion.score(pseudonyms.user("u1"), "new", side), abs=1e-6)


def test_the_open_inference_protocol_finds_them_too(client: Client) -> None:
    answer = client.post(INFER, json=asked()).json()
    known = next(output["data"] for output in answer["outputs"] if output["name"] == "known")
    assert known == [True, True]


def test_labels_find_them_too(client: Client) -> None:
    found = LabelsResponse.model_validate_json(client.post("/v1/labels", json=EVENT).content)
    assert [(one.event_id, one.known_user, one.known_item) for one in found.labels] == [("e1", True, True)]


def test_impressions_are_of_the_ids_that_are_stored(
    settings: ServiceSettings, champion: Expected, secret: Path
) -> None:
    strict = settings.model_copy(update={"impression_secrets_file": secret, "require_impression": True})
    with client_of(strict) as client:
        shown = client.post("/v1/score", json={"user_id": "u1", "candidates": ["v1"], "impressions": True}).json()
        [item] = shown["items"]
        assert item["item_id"] == "v1"
        assert client.post("/v1/feedback", json=EVENT | {"impression_id": item["impression_id"]}).status_code == 202
        other = EVENT | {"impression_id": item["impression_id"], "user_id": "u2"}
        assert client.post("/v1/feedback", json=other).status_code == 422

"""POST /score answers what the champion's equations say, ranked, and in the shape that was asked for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contract.api import ScoreBatchResponse, ScoreResponse
from contract.registry import Registry
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, metric
from tests.versions import ACKNOWLEDGED_MS, CALIBRATION, ITEMS, Expected, promote_version, side_of


@pytest.fixture
def champion(registry: Registry) -> Expected:
    return promote_version(registry)[1]


def ask(client: Client, **fields: object) -> ScoreResponse:
    response = client.post("/v1/score", json={"user_id": "u1", "candidates": list(ITEMS)} | fields)
    assert response.status_code == 200, response.text
    return ScoreResponse.model_validate_json(response.content)


def test_items_are_ranked_best_first_with_the_scores_of_the_equations(champion: Expected, client: Client) -> None:
    items = ask(client, candidates=["new", *ITEMS]).items or []
    expected = {item: champion.score("u1", item) for item in ("new", *ITEMS)}
    assert [item.item_id for item in items] == sorted(expected, key=lambda item: -expected[item])
    assert {item.item_id: item.score for item in items} == pytest.approx(expected, abs=1e-6)
    assert {item.item_id: item.known for item in items} == {"new": False} | dict.fromkeys(ITEMS, True)


def test_label_and_confidence_follow_from_score_and_threshold(champion: Expected, client: Client) -> None:
    items = ask(client, candidates=["new", *ITEMS]).items or []
    assert {item.label for item in items} == {0, 1}
    for item in items:
        assert item.label == int(item.score > CALIBRATION.threshold)
        assert item.confidence == pytest.approx(item.score if item.label else 1 - item.score, abs=1e-6)


def test_columns_say_the_same_as_items(champion: Expected, client: Client) -> None:
    items = ask(client).model_dump()["items"]
    columns = ask(client, format="columns").model_dump()["columns"]
    assert {name: [item[name] for item in items] for name in columns if columns[name]} == {
        name: column for name, column in columns.items() if column
    }


def test_top_k_keeps_the_best(champion: Expected, client: Client) -> None:
    assert (ask(client, top_k=2).items or [])[:2] == (ask(client).items or [])[:2]
    assert len(ask(client, top_k=2).items or []) == 2


def test_equal_scores_keep_the_callers_order_and_duplicates_stay(champion: Expected, client: Client) -> None:
    unknown = [f"n{7 * number % 100}" for number in range(300)]  # all equal
    sent = [one for number, item in enumerate(unknown) for one in ([item] if number % 9 else [item, "v1", "v3"])]
    ranked = [item.item_id for item in ask(client, candidates=sent).items or []]
    assert sorted(ranked) == sorted(sent)
    assert [item for item in ranked if item not in ITEMS] == unknown


def test_reasons_sum_to_the_logit(champion: Expected, client: Client) -> None:
    for item in ask(client, explain=True).items or []:
        assert item.reasons is not None
        assert list(item.reasons.model_dump().values()) == pytest.approx(champion.parts("u1", item.item_id), abs=1e-6)


def test_integers_and_objects_name_the_same_items_as_text(champion: Expected, client: Client) -> None:
    rich = {"item_id": "v1", "author_id": 7, "tags": ["39"], "duration_ms": 9000}
    items = ask(client, candidates=[rich, 12, "12"], surface="feed").items or []
    assert {item.item_id for item in items} == {"v1", "12"}
    of_v1 = next(item.score for item in items if item.item_id == "v1")
    assert of_v1 == pytest.approx(champion.score("u1", "v1", side_of("feed")))


def test_an_unseen_item_scores_from_its_features_and_stays_flagged_as_unknown(
    champion: Expected, client: Client
) -> None:
    rich = {"item_id": "new", "author_id": "a7", "tags": ["39"], "duration_ms": 9000}
    [item] = ask(client, candidates=[rich], surface="feed", explain=True).items or []
    side = side_of("feed", "a7", "39", 9_000)
    assert not item.known
    assert item.score == pytest.approx(champion.score("u1", "new", side))
    assert item.reasons is not None
    assert item.reasons.context == pytest.approx(champion.parts("u1", "new", side)[-1])


def test_the_answer_names_its_version_and_the_age_of_its_data(champion: Expected, client: Client) -> None:
    before = datetime.now(UTC)
    model = ask(client).model
    assert (model.version, model.fallback) == ("000001", False)
    through = datetime.fromisoformat(model.trained_through or "")
    assert through.timestamp() * 1000 == pytest.approx(ACKNOWLEDGED_MS)
    assert model.age_s == pytest.approx(max(0.0, (before - through).total_seconds()), abs=5)


def test_before_the_first_version_the_prior_answers_flagged_and_in_the_callers_order(client: Client) -> None:
    answer = ask(client, explain=True)
    assert (answer.model.version, answer.model.fallback, answer.model.age_s) == ("prior", True, None)
    assert [(item.item_id, item.score, item.known) for item in answer.items or []] == [(i, 0.02, False) for i in ITEMS]
    assert metric(client, "winnow_score_fallback_total") == 1


def test_the_bare_alias_answers_the_same(champion: Expected, client: Client) -> None:
    body = {"user_id": "u1", "candidates": list(ITEMS)}
    assert client.post("/score", json=body).json()["items"] == client.post("/v1/score", json=body).json()["items"]
    assert metric(client, 'winnow_requests_total{route="/v1/score",status="2xx"}') == 2


def test_unknown_users_and_items_are_counted(champion: Expected, client: Client) -> None:
    assert not ask(client, user_id="stranger", candidates=["v1", "new", "newer"]).known_user
    assert metric(client, "winnow_score_unknown_users_total") == 1
    assert metric(client, "winnow_score_unknown_items_total") == 2
    assert metric(client, "winnow_score_candidates_total") == 3


def test_too_many_candidates_are_refused_with_the_bound_and_the_remedy(home: Path) -> None:
    with client_of(ServiceSettings(home=home, max_candidates=2)) as client:
        problem = client.post("/v1/score", json={"user_id": "u1", "candidates": [1, 2, 3]}).json()
    assert problem["status"] == 413
    assert problem["detail"].startswith("3 candidates in one request, the bound is 2; split it")


def test_a_batch_answers_each_user_as_alone_and_all_by_one_version(champion: Expected, client: Client) -> None:
    requests: list[dict[str, Any]] = [
        {"user_id": "u1", "candidates": list(ITEMS), "surface": "feed"},
        {"user_id": 7, "candidates": ["v1", "new"], "format": "columns", "top_k": 1},
        {"user_id": "u2", "candidates": ["v2"], "explain": True},
    ]
    response = client.post("/v1/score:batch", json={"requests": requests})
    answer = ScoreBatchResponse.model_validate_json(response.content)
    assert answer.model.version == "000001"
    assert [(one.user_id, one.known_user) for one in answer.results] == [("u1", True), ("7", False), ("u2", True)]
    for one, request in zip(answer.results, requests, strict=True):
        alone = ask(client, **request)
        assert (one.items, one.columns) == (alone.items, alone.columns)


def test_a_batch_that_is_not_valid_is_refused_whole_with_the_place(champion: Expected, client: Client) -> None:
    requests = [{"user_id": "u1", "candidates": ["v1"]}, {"user_id": "u1", "candidates": ["v1", ""]}]
    problem = client.post("/v1/score:batch", json={"requests": requests}).json()
    assert problem["status"] == 422
    assert any("requests.1.candidates.1" in error["field"] for error in problem["errors"])

"""Scores in the console: by the version that is served, and by any other beside it."""

import pytest

from contract.registry import Registry
from tests.service.conftest import serving, until
from tests.service.console.ports import Ports
from tests.versions import ITEMS, promote_version, stage_version

SCORE = "/console/api/score"
ASKED = {"user_id": "u1", "candidates": list(ITEMS)}


def test_the_version_served_answers_as_score_does(ports: Ports, registry: Registry) -> None:
    version, _ = promote_version(registry)
    until(lambda: serving(ports.callers) == version)
    shown = ports.callers.post(SCORE, json=ASKED).json()
    plain = ports.callers.post("/v1/score", json=ASKED | {"explain": True}).json()
    assert shown["items"] == plain["items"]
    assert (shown["version"], shown["model"]["version"]) == (version, version)


def test_another_version_answers_beside_it(ports: Ports, registry: Registry) -> None:
    promote_version(registry, seed=1)
    other, expected = stage_version(registry, seed=2)
    found = ports.admin.post(SCORE, json=ASKED | {"version": other}).json()
    assert (found["version"], found["model"]["version"], found["known_user"]) == (other, other, True)
    scores = {row["item_id"]: row["score"] for row in found["items"]}
    assert scores == {item: pytest.approx(expected.score("u1", item), abs=1e-6) for item in ITEMS}
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert found["items"][0]["reasons"].keys() == {"base", "user", "item", "match", "context"}


def test_without_candidates_the_items_exposed_most_of_late_are_scored(labelled: Ports) -> None:
    found = labelled.callers.post(SCORE, json={"user_id": "u1"}).json()
    exposed = labelled.callers.get("/console/api/ids?kind=item&limit=50").json()["ids"]
    assert {row["item_id"] for row in found["items"]} == {each["id"] for each in exposed}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"user_id": "u1", "candidates": []},
        {"user_id": "u1", "candidates": ["v"] * 201},
        {"user_id": "u1", "candidates": ["\x00"]},
        {"user_id": "u" * 129, "candidates": ["v"]},
        ASKED | {"version": "../000001"},
        ASKED | {"more": 1},
    ],
)
def test_what_is_not_valid_is_refused(ports: Ports, asked: dict[str, object]) -> None:
    answer = ports.callers.post(SCORE, json=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_a_body_that_a_page_of_elsewhere_may_send_is_refused(ports: Ports) -> None:
    assert ports.callers.post(SCORE, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


def test_a_version_that_is_not_there_or_not_sound_says_so(ports: Ports, registry: Registry) -> None:
    assert ports.callers.post(SCORE, json=ASKED | {"version": "000099"}).status_code == 404
    version, _ = stage_version(registry)
    (registry.path(version) / "items.terms.bin").write_bytes(b"\x00" * 32)
    assert ports.callers.post(SCORE, json=ASKED | {"version": version}).status_code == 409

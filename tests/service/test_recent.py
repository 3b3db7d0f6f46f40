"""What a user liked a moment ago counts in their scores at once, where the model reads histories."""

import time
from pathlib import Path

import pytest

from contract.events import Action, Events, FeedbackEvent
from contract.hashing import id_key, id_keys
from contract.registry import Registry
from service.recent import RecentPositives
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, serving, until
from tests.versions import ITEMS, Expected, promote_version

U1 = id_key("u1")
LONG_AGO_MS = 1_000


def likes(*items: str, user: str = "u1", actions: tuple[Action, ...] = (Action.LIKE,)) -> Events:
    given = {"user_id": user, "at": 1, "watch_ms": 1, "actions": list(actions)}
    return Events.from_models(
        [FeedbackEvent.model_validate(given | {"event_id": f"e{n}", "item_id": item}) for n, item in enumerate(items)]
    )


@pytest.fixture
def recent() -> RecentPositives:
    return RecentPositives(max_users=2)


def test_positives_come_back_in_the_order_they_were_said_each_item_once(recent: RecentPositives) -> None:
    recent.note(likes("a", "b"), 10, per_user=5)
    recent.note(likes("c", "a"), 11, per_user=5)
    assert recent.since(U1, 0).tolist() == id_keys(["b", "c", "a"]).tolist()


@pytest.mark.parametrize(
    ("actions", "counts"),
    [
        ((Action.FOLLOW,), True),
        ((Action.SHARE, Action.COMMENT), True),
        ((), False),
        ((Action.DISLIKE,), False),
        ((Action.LIKE, Action.REPORT), False),
    ],
)
def test_only_positives_without_a_negative_word_count(
    recent: RecentPositives, actions: tuple[Action, ...], counts: bool
) -> None:
    recent.note(likes("a", actions=actions), 10, per_user=5)
    assert (len(recent.since(U1, 0)), len(recent)) == (counts, counts)


def test_only_what_the_version_may_not_have_learned_is_returned(recent: RecentPositives) -> None:
    for at_ms in (10, 11, 12):
        recent.note(likes(f"v{at_ms}"), at_ms, per_user=5)
    assert recent.since(U1, 11).tolist() == id_keys(["v11", "v12"]).tolist()
    assert recent.since(U1, 13).tolist() == recent.since(U1, None).tolist() == recent.since(id_key("u2"), 0).tolist()


def test_items_a_user_and_users_are_bounded_and_the_oldest_go(recent: RecentPositives) -> None:
    recent.note(likes("a", "b", "c"), 10, per_user=2)
    assert recent.since(U1, 0).tolist() == id_keys(["b", "c"]).tolist()
    recent.note(likes("a", user="u2"), 11, per_user=2)
    recent.note(likes("d"), 12, per_user=2)
    recent.note(likes("a", user="u3"), 13, per_user=2)
    assert [len(recent.since(id_key(user), 0)) for user in ("u1", "u2", "u3")] == [2, 0, 1]
    assert len(recent) == 2


def test_a_bound_of_no_users_keeps_none() -> None:
    nobody = RecentPositives(max_users=0)
    nobody.note(likes("a"), 10, per_user=2)
    assert len(nobody) == 0


def scores(client: Client, user: str = "u1") -> list[float]:
    answer = client.post("/v1/score", json={"user_id": user, "candidates": list(ITEMS)}).json()["items"]
    return [one["score"] for one in sorted(answer, key=lambda one: str(one["item_id"]))]


def like(client: Client, item: str, user: str = "u1") -> None:
    event = {"event_id": f"{user} {item}", "user_id": user, "item_id": item, "at": 1, "actions": ["like"]}
    assert client.post("/v1/feedback", json=event).status_code == 202


def expected_scores(expected: Expected, user: str, *liked: str) -> object:
    return pytest.approx([expected.score(user, item, liked=liked) for item in ITEMS], abs=1e-6)


def test_a_like_changes_the_next_scores_of_its_user_without_a_new_version(registry: Registry, client: Client) -> None:
    version, expected = promote_version(registry, history=3, acknowledged_ms=LONG_AGO_MS)
    until(lambda: serving(client) == version)
    others = scores(client, "u2")
    assert scores(client) == expected_scores(expected, "u1", "v1")
    like(client, "v3")
    assert scores(client) == expected_scores(expected, "u1", "v1", "v3")
    like(client, "v2")
    like(client, "v1")  # liked again, so it is now the latest
    assert scores(client) == expected_scores(expected, "u1", "v3", "v2", "v1")
    assert (scores(client, "u2"), serving(client)) == (others, version)


def test_a_stranger_gets_a_history_from_their_first_like(registry: Registry, client: Client) -> None:
    version, expected = promote_version(registry, history=3, acknowledged_ms=LONG_AGO_MS)
    until(lambda: serving(client) == version)
    before = scores(client, "stranger")
    like(client, "v2", "stranger")
    assert scores(client, "stranger") == expected_scores(expected, "", "v2") != before


def test_what_a_newer_version_has_learned_is_not_added_again(registry: Registry, client: Client) -> None:
    version, _ = promote_version(registry, history=3, acknowledged_ms=LONG_AGO_MS)
    until(lambda: serving(client) == version)
    like(client, "v3")
    through_ms = time.time_ns() // 1_000_000 + 60_000
    version, newer = promote_version(registry, seed=1, history=3, acknowledged_ms=through_ms)
    until(lambda: serving(client) == version)
    assert scores(client) == expected_scores(newer, "u1", "v1")


def test_a_version_without_histories_is_not_touched_by_likes(registry: Registry, client: Client) -> None:
    promote_version(registry, acknowledged_ms=LONG_AGO_MS)
    until(lambda: serving(client) == "000001")
    before = scores(client)
    like(client, "v3")
    assert scores(client) == before


def test_a_like_that_was_not_stored_does_not_count(registry: Registry, home: Path) -> None:
    promote_version(registry, history=3, acknowledged_ms=LONG_AGO_MS)
    with client_of(ServiceSettings(home=home)) as client:
        before = scores(client)
        event = {"event_id": "e1", "user_id": "u1", "item_id": "v3", "at": 1, "actions": ["like"]}
        assert client.post("/v1/feedback", json=event).status_code == 503
        assert scores(client) == before

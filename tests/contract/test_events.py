"""What the edge takes as an event, what it refuses, and that it says where."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.events import (
    MAX_AT_MS,
    MAX_MS,
    NEGATIVE_ACTIONS,
    POSITIVE_ACTIONS,
    Action,
    Events,
    FeedbackEvent,
    action_names,
)
from contract.hashing import event_key, id_key
from tests.contract.tables import each
from tests.strategies import offsets

GOOD: dict[str, Any] = {"event_id": "e1", "user_id": "u1", "item_id": "v2", "at": 1_795_593_600_000, "watch_ms": 4200}
IDS = ["event_id", "user_id", "item_id", "surface", "author_id", "impression_id"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(**changes: Any) -> FeedbackEvent:
    """Read the good event, changed, from JSON as the service does."""
    return FeedbackEvent.model_validate_json(json.dumps(GOOD | changes))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(name, "") for name in IDS],
        *[(name, "x" * 129) for name in IDS],
        *each("user_id", None, True, 1.5, float("nan"), [], {}, ["u1"]),
        *each("user_id", *(f"u{control}1" for control in "\x00\t\n\x1f\x7f\x85\x9f")),
        *each("item_id", False, 10**200),
        *each("at", None, True, -1, MAX_AT_MS + 1, 1.5, 1e300, float("nan"), float("inf"), []),
        *each("at", "", "yesterday", "1795593600000", "2026-11-24", "2026-11-24T08:00:00"),
        *each("at", "2026-02-30T00:00:00Z", "2026-11-24T25:00:00Z", "1969-12-31T23:59:59Z"),
        *each("at", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
        *each("watch_ms", -1, MAX_MS + 1, 1.5, "4200", True, 2**63, 10**400, float("nan")),
        *each("duration_ms", -1, MAX_MS + 1, 0.5, "9000", False, float("-inf")),
        *each("actions", "like", ["LIKE"], ["love"], [1], [None], ["like"] * 8),
        *each("tags", "39", [""], ["x"] * 17, ["a\x1fb"], [True], [None], [["39"]]),
        *each("position", -1, 30_001, 2**15, 0.5, "3", True),
        *each("foreground", 0, 1, "true", "yes"),
        ("watched", 1),
        ("__proto__", {}),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(**{field: value})
    assert {error["loc"][0] for error in refusal.value.errors()} == {field}


@pytest.mark.parametrize("field", ["event_id", "user_id", "item_id", "at"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        FeedbackEvent.model_validate({name: value for name, value in GOOD.items() if name != field})
    assert [(error["loc"], error["type"]) for error in refusal.value.errors()] == [((field,), "missing")]


@pytest.mark.parametrize("field", ["event_id", "user_id", "item_id", "surface", "author_id", "at"])
def test_a_lone_surrogate_is_refused(field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        FeedbackEvent.model_validate(GOOD | {field: "u\ud800"})
    assert refusal.value.errors()[0]["loc"] == (field,)
    with pytest.raises(ValidationError):
        read(**{field: "u\ud800"})


def test_an_event_says_at_least_something() -> None:
    with pytest.raises(ValidationError, match="watch_ms, or at least one action"):
        read(watch_ms=None)
    assert read(watch_ms=None, actions=["like"]).actions == [Action.LIKE]
    assert read(watch_ms=0).watch_ms == 0


@given(st.integers(-(2**70), 2**70))
def test_an_integer_id_is_its_decimal_text(number: int) -> None:
    assert read(user_id=number).user_id == str(number)
    assert (
        Events.from_models([read(user_id=number)]).user_key == Events.from_models([read(user_id=f"{number}")]).user_key
    )


@given(st.integers(0, MAX_AT_MS), offsets)
def test_a_time_means_the_same_millisecond_in_every_offset(ms: int, offset: timezone) -> None:
    at = (EPOCH + timedelta(milliseconds=ms)).astimezone(offset)
    assert read(at=at.isoformat()).at == read(at=at.isoformat(timespec="milliseconds")).at == read(at=ms).at == ms


def test_z_and_zero_offset_are_the_same_time() -> None:
    assert read(at="2026-11-24T08:00:00Z").at == read(at="2026-11-24T09:30:00+01:30").at
    assert read(at="2026-11-24T08:00:00.1239Z").at % 1000 == 123


@given(st.text(max_size=40))
def test_no_text_in_place_of_a_time_escapes_validation(text: str) -> None:
    try:
        at = FeedbackEvent.model_validate(GOOD | {"at": text}).at
    except ValidationError:
        return
    assert 0 <= at <= MAX_AT_MS


def test_bounds_are_inside() -> None:
    event = read(user_id="🦊" * 128, at=MAX_AT_MS, watch_ms=MAX_MS, duration_ms=0, position=30_000, tags=["x"] * 16)
    assert (len(event.user_id), event.at, event.watch_ms, event.position) == (128, MAX_AT_MS, MAX_MS, 30_000)
    assert read(at=0, actions=[action.value for action in Action]).at == 0


def test_every_action_has_a_bit_of_its_own_and_one_sign() -> None:
    bits = [action.bit for action in Action]
    assert len(set(bits)) == 7
    assert sum(bits) == POSITIVE_ACTIONS | NEGATIVE_ACTIONS
    assert POSITIVE_ACTIONS & NEGATIVE_ACTIONS == 0
    assert action_names(POSITIVE_ACTIONS) == ["like", "follow", "share", "comment"]
    assert action_names(NEGATIVE_ACTIONS) == ["dislike", "not_interested", "report"]


def test_an_event_id_counts_within_its_user() -> None:
    mine, again, theirs = Events.from_models([read(), read(watch_ms=1), read(user_id="u2")]).event_key.tolist()
    assert mine == again == event_key("e1", id_key("u1"))
    assert mine != theirs


def test_repeated_actions_count_once() -> None:
    assert Events.from_models([read(actions=["like", "like", "share"])]).actions == Action.LIKE.bit | Action.SHARE.bit

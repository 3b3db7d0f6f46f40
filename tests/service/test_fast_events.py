"""What the fast way takes, FeedbackEvent takes with the same values; and it does take what is usually sent."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.events import MAX_AT_MS, MAX_MS, EventLists, FeedbackEvent
from service.fast_events import EventRow, read_fast
from service.feedback import read_by_schema
from tests import strategies

GOOD: dict[str, Any] = {"event_id": "e1", "user_id": "u1", "item_id": "v2", "at": 1_795_593_600_000, "watch_ms": 4200}
MAX_EVENTS = 5
SHAPES = ["one", "array", "object", "lines"]
HOSTILE = [
    *["null", "true", "false", "NaN", "-Infinity", "1e400", "1.0", "1.5", "-0", "-0.0", "1e3", "-1", "01", "[]", "{}"],
    *["0", str(MAX_MS), str(MAX_MS + 1), str(MAX_AT_MS), str(MAX_AT_MS + 1), "2147483648", str(2**63), str(-(2**64))],
    *["7" * 127, "7" * 128, "-" + "7" * 128, "7" * 129, "7" * 5_000, '"' + "x" * 128 + '"', '"' + "x" * 129 + '"'],
    *[
        '""',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\u001f"',
        '"\x7f"',
        '"\x85"',
        '"\\u009f"',
        '"\\n"',
        '"\n"',
    ],
    *['"\u2028"', '"\u00a0"', '"a\\/b"', '"\\x"', '"like"', '["like", "like"]', '["LIKE"]', '["like", null]', "[1]"],
    *['["a", 7]', '["a\\u001fb"]', '["x"', '["' + '", "'.join("x" * 17) + '"]', "[[[[[]]]]]", "[" * 5_000],
    *['"2026-11-24T08:00:00Z"', '"2026-11-24T08:00:00"', '"1969-12-31T23:59:59Z"', '"9999-12-31T23:59:59-23:59"'],
    *['"2026-11-24t08:00:00z"', '"2026-11-24"', '"2026-11-24T08:00:60Z"', '"20261124T080000Z"', '"now"'],
]


def in_shape(events: list[str], shape: str) -> tuple[bytes, bool]:
    """Return a body, and whether it is in lines."""
    one = {
        "one": events[0],
        "array": "[" + ", ".join(events) + "]",
        "object": '{"events": [' + ", ".join(events) + "]}",
        "lines": "\n".join(events),
    }
    return one[shape].encode("utf-8", "surrogatepass"), shape == "lines"


def with_raw(field: str, raw: str) -> str:
    """Return the good event with a field of raw JSON."""
    return json.dumps(GOOD | {field: "RAW"}).replace('"RAW"', raw)


def assert_taken_alike(body: bytes, in_lines: bool) -> None:
    """Fail if the fast way takes what the schema refuses, or takes it otherwise."""
    found = read_fast(body, in_lines, MAX_EVENTS)
    if found is not None:
        assert plain(found) == plain(EventLists.of_models(read_by_schema(body, in_lines, MAX_EVENTS)))


def plain(lists: EventLists) -> list[list[Any]]:
    return [list(column) for column in lists]


@st.composite
def sent(draw: st.DrawFn) -> str:
    """A valid event as some caller may write it."""
    event = json.loads(draw(strategies.feedback_events).model_dump_json())
    for name in ("event_id", "user_id", "item_id", "author_id"):
        if draw(st.booleans()):
            event[name] = draw(st.integers(-(10**126), 10**127))
    if draw(st.booleans()):
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=event["at"])
        event["at"] = at.astimezone(draw(strategies.offsets)).isoformat(timespec="milliseconds")
    given = {name: value for name, value in event.items() if value is not None or draw(st.booleans())}
    return json.dumps(given, ensure_ascii=draw(st.booleans()))


def test_the_fields_are_those_of_the_schema_in_its_order() -> None:
    fields = list(FeedbackEvent.model_fields)
    assert list(EventRow.__struct_fields__) == fields
    assert [name.replace("at_ms", "at") for name in EventLists._fields] == fields


@given(st.lists(sent(), min_size=1, max_size=MAX_EVENTS), st.sampled_from(SHAPES))
def test_whatever_valid_events_are_sent_the_fast_way_takes_them_as_the_schema_does(
    events: list[str], shape: str
) -> None:
    body, in_lines = in_shape(events, shape)
    found = read_fast(body, in_lines, MAX_EVENTS)
    assert found is not None
    assert plain(found) == plain(EventLists.of_models(read_by_schema(body, in_lines, MAX_EVENTS)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("field", [*FeedbackEvent.model_fields, "unknown", "events"])
def test_a_hostile_value_is_never_taken_otherwise_than_the_schema_takes_it(field: str, shape: str) -> None:
    for raw in HOSTILE:
        assert_taken_alike(*in_shape([with_raw(field, raw), json.dumps(GOOD)], shape))
        twice = with_raw(field, raw)[:-1] + f', "{field}": 7}}'
        assert_taken_alike(*in_shape([twice], shape))


@given(
    st.lists(sent(), min_size=1, max_size=3),
    st.sampled_from(SHAPES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=3),
)
def test_a_damaged_body_is_never_taken_otherwise_than_the_schema_takes_it(
    events: list[str], shape: str, damages: list[tuple[float, int, bytes]]
) -> None:
    body, in_lines = in_shape(events, shape)
    for where, length, instead in damages:
        at = int(where * len(body))
        body = body[:at] + instead + body[at + length :]
    assert_taken_alike(body, in_lines)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_escape(body: bytes, in_lines: bool) -> None:
    assert_taken_alike(body, in_lines)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"events": []}',
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps([GOOD] * (MAX_EVENTS + 1)).encode(),
        json.dumps(GOOD | {"watch_ms": None}).encode(),
        json.dumps(GOOD).encode() * 2,
    ],
)
def test_what_is_not_certainly_valid_is_left_to_the_schema(body: bytes) -> None:
    assert read_fast(body, False, MAX_EVENTS) is None


def test_a_value_over_two_lines_is_none() -> None:
    assert read_fast(json.dumps(GOOD, indent=1).encode(), True, 100) is None


def test_an_odd_body_that_is_valid_is_left_to_the_schema_which_takes_it() -> None:
    body = b" " * 100 + json.dumps([GOOD]).encode()
    assert read_fast(body, False, MAX_EVENTS) is None
    assert [event.event_id for event in read_by_schema(body, False, MAX_EVENTS)] == ["e1"]

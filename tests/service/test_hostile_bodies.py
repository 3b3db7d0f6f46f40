"""Whatever is sent, the worst answer is a 4xx with problem+json that does not repeat it (P11)."""

import json
from collections.abc import Mapping

import pytest

from contract.api import Problem
from service.settings import ServiceSettings
from tests.service.conftest import Client

SECRET = "s3cr3t-marker"
EVENT = {"event_id": "e1", "user_id": "u1", "item_id": "v1", "at": 1795593600000, "watch_ms": 4200}
SCORE = {"user_id": "u1", "candidates": ["v1"]}


def with_raw(fields: Mapping[str, object], name: str, raw: bytes) -> bytes:
    """Return `fields` as JSON with the value of `name` replaced by raw bytes."""
    return json.dumps({**fields, name: "RAW"}).encode().replace(b'"RAW"', raw)


RAW_VALUES = {
    "nan": b"NaN",
    "infinity": b"-Infinity",
    "huge exponent": b"1e400",
    "lone surrogate": b'"' + SECRET.encode() + rb'\ud800"',
    "bad utf-8": b'"' + SECRET.encode() + b'\xff\xfe"',
    "nul": b'"' + SECRET.encode() + rb'\u0000"',
    "line feed": b'"' + SECRET.encode() + rb'\r\nx-evil: 1"',
    "raw control character": b'"' + SECRET.encode() + b'\n"',
    "5,000-digit integer": b"7" * 5_000,
    "4,000-digit integer": b"7" * 4_000,
    "100 k nesting": b"[" * 100_000,
    "100 k closed nesting": b"[" * 100_000 + b"]" * 100_000,
    "long id": b'"' + SECRET.encode() * 20 + b'"',
    "empty id": b'""',
    "float": b"1.5",
    "boolean": b"true",
    "null": b"null",
    "object": json.dumps({SECRET: SECRET}).encode(),
    "half a pair": b'"\\ud83d"',
}

WHOLE_BODIES = {
    "nothing": b"",
    "white space": b" \n ",
    "half an object": b'{"user_id": "' + SECRET.encode(),
    "no JSON": SECRET.encode(),
    "a number": b"1",
    "a text": json.dumps(SECRET).encode(),
    "null": b"null",
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(SCORE).encode(),
    "UTF-16": json.dumps(SCORE).encode("utf-16"),
    "NUL bytes": bytes(100),
    "two values": b"{}{}",
    "100 k unknown keys": b"{" + b",".join(b'"%s%d":0' % (b"k", n) for n in range(100_000)) + b"}",
    "200 k unknown keys": b"{" + b",".join(b'"%s%d":0' % (SECRET.encode(), n) for n in range(200_000)) + b"}",
    "340 k empty objects": b"[" + b",".join([b"{}"] * 340_000) + b"]",
    "340 k candidates": b'{"user_id":"u1","candidates":[' + b",".join([b"{}"] * 340_000) + b"]}",
    "unknown key": json.dumps({SECRET: 1} | SCORE).encode(),
    "wrong types": json.dumps({"user_id": {SECRET: 1}, "candidates": SECRET}).encode(),
    "oversized": b'{"user_id":"' + b"a" * 1_100_000 + b'"}',
}


def assert_refused(client: Client, path: str, body: bytes, headers: dict[str, str] | None = None) -> Problem:
    response = client.post(path, content=body, headers=headers)
    assert 400 <= response.status_code < 500, response.text[:200]
    assert response.headers["content-type"] == "application/problem+json"
    assert SECRET not in response.text
    assert "\n" not in "".join(response.headers.values())
    problem = Problem.model_validate_json(response.content)
    assert (problem.status, problem.request_id) == (response.status_code, response.headers["x-request-id"])
    return problem


@pytest.mark.parametrize("name", RAW_VALUES)
def test_a_hostile_value_in_an_event_is_refused(client: Client, name: str) -> None:
    for field in ("event_id", "at", "watch_ms" if name != "null" else "user_id", "actions", "tags"):
        body = with_raw(EVENT, field, RAW_VALUES[name])
        assert_refused(client, "/v1/feedback", body)
        assert_refused(client, "/v1/labels", b'{"events":[' + body + b"]}")


@pytest.mark.parametrize("name", RAW_VALUES)
def test_a_hostile_value_in_a_score_request_is_refused(client: Client, name: str) -> None:
    for field in ("user_id", "candidates", "format"):
        assert_refused(client, "/v1/score", with_raw(SCORE, field, RAW_VALUES[name]))
    assert_refused(client, "/v1/score", b'{"user_id":"u1","candidates":["v1",' + RAW_VALUES[name] + b"]}")


@pytest.mark.parametrize("name", WHOLE_BODIES)
@pytest.mark.parametrize("path", ["/v1/score", "/v1/score:batch", "/v1/feedback", "/v1/labels"])
def test_a_hostile_body_is_refused(client: Client, path: str, name: str) -> None:
    assert_refused(client, path, WHOLE_BODIES[name])


@pytest.mark.parametrize("name", WHOLE_BODIES)
@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/labels"])
def test_a_hostile_body_in_lines_is_refused(client: Client, path: str, name: str) -> None:
    assert_refused(client, path, WHOLE_BODIES[name], {"content-type": "application/x-ndjson"})


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z", "now", "2026-11-24", ""]
)
def test_a_time_that_is_none_is_refused(client: Client, at: str) -> None:
    problem = assert_refused(client, "/v1/feedback", json.dumps(EVENT | {"at": at}).encode())
    assert [error.field for error in problem.errors] == ["events.0.at"]


def test_of_two_equal_keys_the_last_is_taken(client: Client) -> None:
    body = b'{"user_id": "u1", "user_id": "u2", "candidates": ["v1"], "candidates": ["v2"]}'
    assert [item["item_id"] for item in client.post("/v1/score", content=body).json()["items"]] == ["v2"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/score", b"{%b}"),
        ("/v1/score", b'{"user_id":"u1","candidates":[{%b}]}'),
        ("/v1/score:batch", b"{%b}"),
        ("/v1/score:batch", b'{"requests":[{%b}]}'),
        ("/v1/score:batch", b'{"requests":[{"user_id":"u1","candidates":[{%b}]}]}'),
        ("/v1/feedback", b"{%b}"),
        ("/v1/feedback", b'{"events":[],%b}'),
        ("/v1/labels", b"[{%b}]"),
    ],
)
def test_an_object_of_very_many_fields_is_refused_for_their_number(client: Client, path: str, body: bytes) -> None:
    fields = b",".join(b'"%s%d":0' % (SECRET.encode(), number) for number in range(33))
    problem = assert_refused(client, path, body % fields)
    assert "fields, the bound is 32; send those of /openapi.json" in problem.detail


def test_a_batch_has_no_more_requests_than_candidates(client: Client, settings: ServiceSettings) -> None:
    body = b'{"requests":[' + b",".join([b"{}"] * (settings.max_candidates + 1)) + b"]}"
    problem = assert_refused(client, "/v1/score:batch", body)
    assert problem.status == 413
    assert problem.detail.startswith("1001 requests in one request, the bound is 1000; split it")


def test_an_unknown_field_is_named_by_its_place_only(client: Client) -> None:
    problem = assert_refused(client, "/v1/feedback", json.dumps([EVENT, EVENT | {SECRET: 1}]).encode())
    assert [(error.field, error.problem) for error in problem.errors] == [
        ("events.1", "has a field that is not in the schema; leave it out")
    ]


def test_an_oversized_body_is_told_the_bound_and_the_remedy(client: Client, settings: ServiceSettings) -> None:
    problem = assert_refused(client, "/v1/feedback", WHOLE_BODIES["oversized"])
    assert problem.status == 413
    assert f"the bound is {settings.max_body_bytes}; send fewer" in problem.detail

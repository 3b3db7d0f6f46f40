"""POST /feedback stores a request whole before it answers 202, or stores nothing and says why."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.blocks import decode_block
from contract.event_log import EventLog
from contract.events import Events
from contract.hashing import id_key, partitions_of
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, metric, until
from winnow.embedded_log import EmbeddedLog

NDJSON = {"content-type": "application/x-ndjson"}


def event(number: int, **fields: object) -> dict[str, object]:
    given = {"event_id": f"e{number}", "user_id": f"u{number}", "item_id": "v1", "at": 1795593600000, "watch_ms": 4200}
    return given | fields


@pytest.fixture
def event_log(log_url: str) -> Iterator[EventLog]:
    log = EventLog(log_url)
    yield log
    log.close()


def stored(event_log: EventLog) -> list[tuple[int, Events]]:
    return [(entry.partition, decode_block(entry.block)) for entry in event_log.read_after({}, 1_000).entries]


def stored_ids(event_log: EventLog) -> set[str]:
    return {str(one) for _, events in stored(event_log) for one in events.event_id}


@pytest.mark.parametrize(
    ("body", "headers", "count"),
    [
        (json.dumps(event(0)), {}, 1),
        (json.dumps([event(0), event(1)]), {}, 2),
        (json.dumps({"events": [event(0), event(1), event(2)]}), {}, 3),
        ("\n".join([json.dumps(event(0)), "", json.dumps(event(1)) + "\r"]) + "\n", NDJSON, 2),
    ],
    ids=["one", "array", "object", "ndjson"],
)
def test_every_shape_of_body_is_stored(
    client: Client, event_log: EventLog, body: str, headers: dict[str, str], count: int
) -> None:
    response = client.post("/v1/feedback", content=body, headers=headers)
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": count, "event_ids": [f"e{number}" for number in range(count)]}
    assert stored_ids(event_log) == {f"e{number}" for number in range(count)}


def test_a_stored_event_is_what_was_sent(client: Client, event_log: EventLog) -> None:
    client.post("/feedback", json=event(3, at="2026-11-25T09:00:00+01:00", actions=["like"], tags=["a", 7]))
    [(_, events)] = stored(event_log)
    assert events.at_ms.tolist() == [1795593600000]
    assert (events.watch_ms.tolist(), events.tags.tolist(), events.item_id.tolist()) == ([4200], ["a\x1f7"], ["v1"])
    assert events.user_key.tolist() == [id_key("u3")]


def test_a_batch_becomes_one_entry_a_partition(client: Client, event_log: EventLog) -> None:
    client.post("/v1/feedback", json=[event(number) for number in range(200)])
    entries = stored(event_log)
    assert len(entries) == len({partition for partition, _ in entries}) > 8
    for partition, events in entries:
        assert set(partitions_of(events.user_key)) == {partition}
    assert sum(len(events) for _, events in entries) == 200


def test_one_invalid_event_refuses_the_request_and_says_where(client: Client, event_log: EventLog) -> None:
    response = client.post("/v1/feedback", json=[event(0), event(1, watch_ms=-5), event(2)])
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["events.1.watch_ms"]
    assert "greater than or equal to 0" in response.json()["errors"][0]["problem"]
    assert stored(event_log) == []


def test_at_most_twenty_errors_are_shown(client: Client) -> None:
    assert len(client.post("/v1/feedback", json=[{}] * 30).json()["errors"]) == 20


@pytest.mark.parametrize("body", ["[]", '{"events": []}', ""])
def test_an_empty_batch_is_refused(client: Client, body: str) -> None:
    assert client.post("/v1/feedback", content=body).status_code in (400, 422)
    assert client.post("/v1/feedback", content=" \n", headers=NDJSON).status_code == 422


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/csv"}, {"content-encoding": "gzip"}, {"content-type": "multipart/form-data"}]
)
def test_other_media_types_and_encodings_are_refused(client: Client, headers: dict[str, str]) -> None:
    response = client.post("/v1/feedback", content=json.dumps(event(0)), headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (415, "application/problem+json")


def test_a_content_type_with_a_charset_is_taken(client: Client) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/feedback", content=json.dumps(event(0)), headers=headers).status_code == 202


@pytest.mark.parametrize("headers", [{}, NDJSON])
def test_too_many_events_are_refused(home: Path, log_url: str, headers: dict[str, str]) -> None:
    body = "\n".join([json.dumps(event(0))] * 3) if headers else json.dumps([event(0)] * 3)
    with client_of(ServiceSettings(home=home, redis_url=log_url, max_batch_events=2)) as client:
        response = client.post("/v1/feedback", content=body, headers=headers)
    assert (response.status_code, response.json()["detail"][:41]) == (413, "3 events in one request, the bound is 2; ")


def test_without_a_log_feedback_gets_503_while_scoring_answers(home: Path) -> None:
    with client_of(ServiceSettings(home=home)) as client:
        assert_unstored(client)


def test_a_dead_log_gives_503_at_once_and_its_return_is_noticed(home: Path) -> None:
    log = EmbeddedLog(home)
    with log, client_of(ServiceSettings(home=home, redis_url=log.url, log_poll_s=0.02)) as client:
        assert client.post("/v1/feedback", json=event(0)).status_code == 202
        log.stop()
        assert_unstored(client)
        until(lambda: metric(client, "winnow_log_up") == 0)
        assert client.get("/readyz").json() | {"model": None} == {"ready": True, "log": False, "model": None}
        log.start()
        until(lambda: bool(client.get("/readyz").json()["log"]))
        assert client.post("/v1/feedback", json=event(1)).status_code == 202


def test_a_log_that_hangs_gives_503_in_time(home: Path) -> None:
    with EmbeddedLog(home) as log, client_of(ServiceSettings(home=home, redis_url=log.url)) as client:
        assert log.pid is not None
        os.kill(log.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert_unstored(client)
            assert time.monotonic() - started < 1.5  # the deadline is 0.5 s
        finally:
            os.kill(log.pid, signal.SIGCONT)
        assert client.post("/v1/feedback", json=event(0)).status_code == 202


def test_a_full_log_gives_503(home: Path, log_url: str, event_log: EventLog) -> None:
    with client_of(ServiceSettings(home=home, redis_url=log_url, log_max_entries=100)) as client:
        answers = [client.post("/v1/feedback", json=event(n, user_id="u1")).status_code for n in range(102)]
    assert answers == [202] * 100 + [503] * 2
    assert len(stored_ids(event_log)) == 100


def assert_unstored(client: Client) -> None:
    response = client.post("/v1/feedback", json=[event(8), event(9)])
    problem: dict[str, Any] = response.json()
    assert (response.status_code, response.headers["retry-after"], problem["status"]) == (503, "1", 503)
    assert metric(client, "winnow_feedback_unstored_events_total") == 2
    assert client.post("/v1/score", json={"user_id": "u1", "candidates": ["v1"]}).status_code == 200

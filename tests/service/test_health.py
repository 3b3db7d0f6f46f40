"""Probes, request ids, limits and errors outside of any body."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from contract.registry import Registry
from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, metric, serving, until
from tests.versions import promote_version

BODY = {"user_id": "u1", "candidates": ["v1"]}


def test_alive_and_ready_before_the_first_version(client: Client) -> None:
    assert client.get("/livez").json() == {"live": True}
    until(lambda: bool(client.get("/readyz").json()["log"]))
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"], ready.json()["model"]["fallback"]) == (200, True, True)


def test_a_harmless_request_id_is_kept_and_any_other_replaced(client: Client) -> None:
    assert client.get("/livez", {"x-request-id": "abc-1:2.3_X"}).headers["x-request-id"] == "abc-1:2.3_X"
    for bad in ("a" * 65, "a b", "", "<script>", 'a"b'):
        made = client.get("/livez", {"x-request-id": bad}).headers["x-request-id"]
        assert made != bad
        assert len(made) == 16
    answer = client.post("/v1/score", json=BODY, headers={"x-request-id": "mine"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/secret-path", 404), ("GET", "/v1/score", 405), ("POST", "/livez", 405), ("GET", "/v1/score/", 404)],
)
def test_unknown_paths_and_methods_are_problems_too(client: Client, method: str, path: str, status: int) -> None:
    response = client.get(path) if method == "GET" else client.post(path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert "secret-path" not in response.text


def test_unknown_paths_share_one_label(client: Client) -> None:
    for number in range(5):
        client.get(f"/random/{number}")
    assert metric(client, 'winnow_requests_total{route="other",status="4xx"}') == 5
    client.get("/v1/models/000009")
    assert metric(client, 'winnow_requests_total{route="/v1/models/{version}",status="4xx"}') == 1


def test_a_fault_of_ours_is_a_problem_that_hides_its_cause(
    client: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the cause")

    monkeypatch.setattr("service.score.render", broken)
    response = client.post("/v1/score", json=BODY)
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "the cause" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert metric(client, 'winnow_requests_total{route="/v1/score",status="5xx"}') == 1


def test_model_gauges_follow_the_swap(client: Client, registry: Registry) -> None:
    assert metric(client, "winnow_model_fallback") == 1
    version, _ = promote_version(registry)
    until(lambda: serving(client) == version)
    assert (metric(client, "winnow_model_fallback"), metric(client, "winnow_model_version")) == (0, int(version))
    assert metric(client, "winnow_model_swap_seconds_count") == 1


def test_a_body_that_does_not_arrive_times_out(home: Path) -> None:
    async def stalled() -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"user'
            await asyncio.Event().wait()

        app = create_app(ServiceSettings(home=home, body_timeout_s=0.05))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
            return await http.post("/v1/score", content=body())

    assert asyncio.run(stalled()).status_code == 408


def test_requests_above_the_bound_are_shed_while_probes_answer(home: Path) -> None:
    async def crowded() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            yield b'{"user_id": "u1", '
            arrived.set()
            await go_on.wait()
            yield b'"candidates": ["v1"]}'

        app = create_app(ServiceSettings(home=home, max_requests_in_flight=1))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
            first = asyncio.create_task(http.post("/v1/score", content=slow_body()))
            await arrived.wait()
            shed, probe = await http.post("/v1/score", json=BODY), await http.get("/livez")
            go_on.set()
            return shed, probe, await first

    shed, probe, first = asyncio.run(crowded())
    assert (shed.status_code, shed.headers["retry-after"]) == (503, "1")
    assert (probe.status_code, first.status_code) == (200, 200)


def test_a_limit_counts_only_requests_at_work(home: Path) -> None:
    with client_of(ServiceSettings(home=home, max_requests_in_flight=1)) as client:
        assert [client.post("/v1/score", json=BODY).status_code for _ in range(3)] == [200] * 3
        assert client.post("/v1/score", content=b"{").status_code == 400
        assert client.post("/v1/score", json=BODY).status_code == 200

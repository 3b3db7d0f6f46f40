"""The admin port: it changes what is served, for those who may, and is nowhere on the callers' port."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from contract.api_keys import Role, new_key, write_keys
from contract.registry import Registry
from service.app import build
from service.settings import ServiceSettings
from tests.service.conftest import running_service
from tests.versions import promote_version, stage_version

WHY = {"why": "it was worse"}


def ask(
    settings: ServiceSettings, path: str, method: str = "POST", host: str = "127.0.0.1", **sent: Any
) -> httpx.Response:
    """Send one request to the admin application."""
    if method == "POST" and not sent.keys() & {"json", "content"}:
        sent["json"] = WHY

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(build(settings).admin)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:9000") as http:
            return await http.request(method, path, **sent)

    return asyncio.run(go())


@pytest.fixture
def versions(registry: Registry) -> list[str]:
    """Two versions, the second the champion."""
    return [promote_version(registry, seed=seed)[0] for seed in (1, 2)]


def test_each_change_is_done_and_says_what_is_served(
    settings: ServiceSettings, registry: Registry, versions: list[str]
) -> None:
    first, second = versions
    steps = [
        ("/admin/models:rollback", (first, True)),
        ("/admin/models:unpin", (first, False)),
        (f"/admin/models/{second}:promote", (second, False)),
        (f"/admin/models/{first}:pin", (first, True)),
    ]
    for path, (version, pinned) in steps:
        answer = ask(settings, path)
        assert (answer.status_code, answer.json()["champion"], answer.json()["pinned"]) == (200, version, pinned)
    assert ask(settings, f"/admin/models/{second}:promote").status_code == 409  # pinned
    assert [(change.why, change.who) for change in registry.history()[2:]] == [
        ("it was worse", "admin key anonymous")
    ] * 4


def test_a_change_names_the_key_that_made_it(
    settings: ServiceSettings, registry: Registry, versions: list[str], tmp_path: Path
) -> None:
    keys = {role: new_key([role], role) for role in Role}
    write_keys(tmp_path / "keys.json", [entry for _, entry in keys.values()])
    locked = settings.model_copy(update={"api_keys_file": tmp_path / "keys.json"})
    statuses = {}
    for role, (key, _) in keys.items():
        statuses[role] = ask(locked, "/admin/models:rollback", headers={"x-api-key": key}).status_code
    assert statuses == {Role.SCORE: 403, Role.FEEDBACK: 403, Role.ADMIN: 200, Role.METRICS: 403, Role.CONSOLE: 403}
    assert ask(locked, "/admin/models:rollback").status_code == 401
    assert registry.history()[-1].who == f"admin key {keys[Role.ADMIN][1].id}"
    assert ask(locked, "/metrics", "GET").status_code == 401
    assert ask(locked, "/metrics", "GET", headers={"x-api-key": keys[Role.METRICS][0]}).status_code == 200
    assert ask(locked, "/livez", "GET").status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {}}, 422),
        ({"json": {"why": ""}}, 422),
        ({"json": {"why": "a" * 201}}, 422),
        ({"json": {"why": "a\nb"}}, 422),
        ({"json": {"why": "x", "more": 1}}, 422),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b'{"why": "x"}', "headers": {"content-type": "text/plain"}}, 415),  # what a page may send
    ],
)
def test_a_change_without_a_proper_reason_is_refused(
    settings: ServiceSettings, registry: Registry, versions: list[str], sent: dict[str, Any], status: int
) -> None:
    answer = ask(settings, "/admin/models:rollback", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert len(registry.history()) == 2


def test_without_keys_a_name_that_a_page_brought_is_refused(settings: ServiceSettings, versions: list[str]) -> None:
    assert ask(settings, "/admin/models:rollback", host="rebound.example").status_code == 403
    assert ask(settings, "/admin/models:rollback", host="localhost").status_code == 200


def test_what_cannot_be_served_is_not_promoted(
    settings: ServiceSettings, registry: Registry, versions: list[str]
) -> None:
    first, _ = versions
    spoiled, _ = stage_version(registry, seed=3)
    table = registry.path(spoiled) / "items.terms.bin"
    table.write_bytes(bytes([table.read_bytes()[0] ^ 1]) + table.read_bytes()[1:])
    refused, _ = stage_version(registry, seed=4)
    registry.quarantine(refused)
    for version, status in ((spoiled, 409), (refused, 409), ("000099", 404), ("..%2f..", 404), ("x", 404)):
        assert ask(settings, f"/admin/models/{version}:promote").status_code == status, version
    assert ask(settings, f"/admin/models/{first}:promote").status_code == 200


def test_a_registry_that_cannot_be_written_is_503_with_the_remedy(
    settings: ServiceSettings, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "replace", read_only)
    answer = ask(settings, "/admin/models:rollback")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Read-only file system); run `winnow models` where the trainer runs" in answer.json()["detail"]


@contextmanager
def both_ports(home: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with running_service(home, admin_port="0") as service:
        admin_url = orjson.loads((home / "service.json").read_bytes())["admin_url"]
        with httpx.Client(base_url=service.url, timeout=30) as callers, httpx.Client(base_url=admin_url) as admin:
            yield callers, admin


def test_the_ports_share_nothing_but_the_process(home: Path, registry: Registry, versions: list[str]) -> None:
    with both_ports(home) as (callers, admin):
        assert callers.post("/admin/models:rollback", json=WHY).status_code == 404
        assert admin.post("/v1/score", json={"user_id": "u", "candidates": ["v"]}).status_code == 404
        assert (admin.get("/livez").status_code, admin.get("/metrics").status_code) == (200, 200)
        assert admin.post("/admin/models:rollback", json=WHY).json()["champion"] == versions[0]

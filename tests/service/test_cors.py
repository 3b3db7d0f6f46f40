"""Pages of other origins: none may call unless named, and no browser's credentials ever count."""

from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of

PAGE, OTHER = {"origin": "https://a.example"}, {"origin": "https://b.example"}
SCORE = {"user_id": "u1", "candidates": ["v1"]}


def ask(client: Client, headers: dict[str, str]) -> list[httpx.Response]:
    return [client.post("/v1/score", json=SCORE, headers=headers), client.get("/v1/models", headers=headers)]


def test_without_a_list_no_page_may_read_an_answer(client: Client) -> None:
    for answer in ask(client, PAGE):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_named_origin_may_read_and_another_may_not(home: Path) -> None:
    with client_of(ServiceSettings(home=home, cors_origins="https://a.example,http://c.example:8080")) as client:
        for answer in ask(client, PAGE):
            assert answer.headers["access-control-allow-origin"] == "https://a.example"
            assert answer.headers["vary"] == "origin"
            assert "access-control-allow-credentials" not in answer.headers
        for answer in ask(client, OTHER):
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origins", ["*", "https://*.example", "a.example", "https://a.example/", "https://a.b, c"])
def test_a_list_with_anything_but_origins_is_refused(home: Path, origins: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        ServiceSettings(home=home, cors_origins=origins)

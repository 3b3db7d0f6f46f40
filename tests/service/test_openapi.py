"""The OpenAPI document is valid, complete, and shows an example of every field."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import Client

BODY_ROUTES = ["/v1/score", "/v1/score:batch", "/v1/feedback", "/v1/labels"]


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def fields(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for schema_name, schema in document["components"]["schemas"].items():
        for field_name, field in schema.get("properties", {}).items():
            yield f"{schema_name}.{field_name}", field


def refers(field: dict[str, Any]) -> bool:
    """Whether a field is made of another schema, which shows the examples."""
    branches = [field, field.get("items", {}), *field.get("anyOf", [])]
    return any("$ref" in branch or "$ref" in branch.get("items", {}) for branch in branches)


def test_every_field_shows_an_example_or_refers_to_fields_that_do(document: dict[str, Any]) -> None:
    assert len(list(fields(document))) > 60
    assert [name for name, field in fields(document) if not field.get("examples") and not refers(field)] == []


def test_every_example_fits_its_own_schema(document: dict[str, Any]) -> None:
    for name, field in fields(document):
        for example in field.get("examples", []):
            validator = jsonschema.Draft202012Validator(field | {"components": document["components"]})
            assert list(validator.iter_errors(example)) == [], name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for name in str(document).split("#/components/schemas/")[1:]:
        assert name.split("'")[0] in document["components"]["schemas"]


@pytest.mark.parametrize("path", BODY_ROUTES)
def test_the_example_bodies_are_accepted(client: Client, document: dict[str, Any], path: str) -> None:
    for media_type, content in document["paths"][path]["post"]["requestBody"]["content"].items():
        response = client.post(path, json=content["example"], headers={"content-type": media_type})
        assert response.status_code in (200, 202), response.text


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    for path, routes in document["paths"].items():
        for route in routes.values():
            for status, response in route["responses"].items():
                if not status.startswith("2"):
                    assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_only_versioned_paths_and_probes_are_documented(document: dict[str, Any]) -> None:
    assert sorted(document["paths"]) == [
        "/livez",
        "/metrics",
        "/readyz",
        "/v1/feedback",
        "/v1/feedback/{event_id}",
        "/v1/labels",
        "/v1/models",
        "/v1/models/{version}",
        "/v1/score",
        "/v1/score:batch",
    ]


def test_the_document_needs_no_running_service(settings: ServiceSettings, document: dict[str, Any]) -> None:
    assert create_app(settings).openapi() == document

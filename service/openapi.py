"""The OpenAPI document: bodies are read raw, so their schemas are put in here, and every field shows an example."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.problems import MEDIA_TYPE

_REF = "#/components/schemas/{model}"
Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Document the errors a route answers, all of them problem details."""
    content = {MEDIA_TYPE: {"schema": _ref("Problem")}}
    described: dict[int | str, str] = {status: HTTPStatus(status).phrase for status in statuses}
    described["default"] = "Any other error"  # also keeps the framework from documenting a 422 of its own
    return {status: {"description": description, "content": content} for status, description in described.items()}


def body_of(example: Mapping[str, object], *models: str, lines_type: str | None = None) -> dict[str, Any]:
    """Document the body of a route: one of `models`, or an array of the first; as `lines_type`, one a line."""
    schemas = [_ref(model) for model in models]
    one_of = {"anyOf": [*schemas, {"type": "array", "items": schemas[0]}]} if len(models) > 1 else schemas[0]
    content: dict[str, Any] = {"application/json": {"schema": one_of, "example": example}}
    if lines_type:
        content[lines_type] = {"schema": schemas[0], "example": example}
    return {"requestBody": {"required": True, "content": content}}


def install(app: FastAPI, models: list[type[BaseModel]], examples: Mapping[str, Mapping[str, object]]) -> None:
    """Let `app` describe itself, with the schemas of `models`, and field examples from whole bodies by schema name."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            _, extra = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in extra["$defs"].items():
                schemas.setdefault(name, schema)
            for name, example in examples.items():
                _fill_in(schemas, schemas[name], example)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _fill_in(schemas: dict[str, Any], schema: dict[str, Any], example: Mapping[str, object]) -> None:
    """Give the fields of `schema` that show none their value in `example`, and so on into nested objects."""
    for name, field in schema["properties"].items():
        if nested := next((one for one in (field, *field.get("anyOf", ())) if "$ref" in one), None):
            _fill_in(schemas, schemas[_name_of(nested)], _mapping(example[name]))
        elif any("$ref" in one for one in field.get("patternProperties", {}).values()):
            (values,) = field["patternProperties"].values()
            for value in _mapping(example[name]).values():
                _fill_in(schemas, schemas[_name_of(values)], _mapping(value))
        field.setdefault("examples", [example[name]])


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping)
    return value


def _ref(model: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=model)}


def _name_of(field: Mapping[str, str]) -> str:
    return field["$ref"].rsplit("/", 1)[-1]

"""The score request: what it takes, what it refuses, and that it says where."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from contract.api import MAX_TOP_K, Candidate, Problem, ScoreRequest
from tests.contract.tables import each

GOOD_CANDIDATE: dict[str, Any] = {"item_id": 3, "author_id": "a7", "tags": ["39"]}
GOOD: dict[str, Any] = {"user_id": "u1", "candidates": ["v1", 2, GOOD_CANDIDATE]}


def read(**changes: Any) -> ScoreRequest:
    """Read the good request, changed, from JSON as the service does."""
    return ScoreRequest.model_validate_json(json.dumps(GOOD | changes))


def test_candidates_are_ids_or_objects() -> None:
    assert read().candidates == ["v1", "2", Candidate(item_id="3", author_id="a7", tags=["39"])]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *each("user_id", None, "", True, 1.5, "x" * 129, "a\x00", []),
        *each("candidates", None, [], {}, "v1", [None], [1.5], [True], [""], [{}], [["v1"]]),
        *each("candidates", [GOOD_CANDIDATE | {"why": 1}], [GOOD_CANDIDATE | {"duration_ms": -1}]),
        *each("top_k", 0, -1, MAX_TOP_K + 1, 1.5, "50", True),
        *each("format", "rows", "ITEMS", None, 1),
        *each("explain", "yes", 1, None),
        ("limit", 10),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(**{field: value})
    assert {error["loc"][0] for error in refusal.value.errors()} == {field}


def test_bounds_are_inside() -> None:
    assert read(top_k=MAX_TOP_K, surface="x" * 128).top_k == MAX_TOP_K
    assert read(top_k=1).top_k == 1


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    assert Problem(title="Not Found", status=404, detail="version 000042 is unknown").model_dump(exclude_none=True) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "version 000042 is unknown",
        "errors": [],
    }

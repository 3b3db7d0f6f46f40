"""The fast way takes nothing that pydantic would refuse, and reads the same from what both take."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

import service.wanted
from contract.api import MAX_TOP_K
from contract.errors import TooLarge, WinnowError
from contract.events import MAX_MS, MAX_TAGS
from service.servable import Told
from service.wanted import Wanted, batch_of, wanted_of
from tests.strategies import external_ids

_odd = st.one_of(
    st.sampled_from(["", "a\x00b", "a\x7f", "x" * 129, "\x1f", 'q"\\']),
    st.integers(-(2**70), 2**70),
    st.integers(-1, 1),
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just([]),
    st.just({}),
)
_any_id = st.one_of(external_ids, external_ids, _odd)
_objects = st.fixed_dictionaries(
    {"item_id": _any_id},
    optional={
        "author_id": _any_id,
        "tags": st.lists(_any_id, max_size=MAX_TAGS + 1),
        "duration_ms": st.one_of(st.integers(-1, MAX_MS + 1), _odd),
        "colour": _odd,
    },
)
_plain_objects = st.fixed_dictionaries(
    {"item_id": external_ids},
    optional={
        "author_id": st.none() | external_ids,
        "tags": st.lists(external_ids, max_size=MAX_TAGS),
        "duration_ms": st.none() | st.integers(0, MAX_MS),
    },
)
requests = st.fixed_dictionaries(
    {"user_id": _any_id, "candidates": st.lists(st.one_of(external_ids, _plain_objects, _objects, _odd), max_size=4)},
    optional={
        "surface": _any_id,
        "top_k": st.one_of(st.integers(0, MAX_TOP_K + 1), _odd),
        "format": st.sampled_from(["items", "columns", "rows", None, 1]),
        "explain": st.one_of(st.booleans(), st.sampled_from([None, 0, "true"])),
        "limit": _odd,
    },
)
plain = st.fixed_dictionaries(
    {"user_id": external_ids, "candidates": st.lists(external_ids, min_size=1, max_size=4)},
    optional={"surface": external_ids, "top_k": st.integers(1, MAX_TOP_K), "explain": st.booleans()},
)


def outcome(body: bytes, fast: bool, batch: bool = False) -> object:
    """What becomes of a body: what is wanted, or the kind of refusal."""
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            patch.setattr(service.wanted, "is_plain", lambda _: False)
        try:
            return batch_of(body, 100) if batch else wanted_of(body, 100)
        except (WinnowError, HTTPException) as error:
            return type(error).__name__


@given(st.one_of(plain, requests), st.booleans())
def test_both_ways_make_the_same_of_every_body(request: dict[str, object], ascii_only: bool) -> None:
    body = _dumped(request, ascii_only)
    assert outcome(body, fast=True) == outcome(body, fast=False)


@given(st.lists(st.one_of(plain, plain, requests), max_size=3))
def test_both_ways_make_the_same_of_every_batch(batch: list[dict[str, object]]) -> None:
    body = _dumped({"requests": batch}, ascii_only=False)
    assert outcome(body, fast=True, batch=True) == outcome(body, fast=False, batch=True)


@given(plain, st.data())
def test_both_ways_make_the_same_of_a_damaged_body(request: dict[str, object], data: st.DataObject) -> None:
    body = bytearray(orjson.dumps(request))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    assert outcome(bytes(body), fast=True) == outcome(bytes(body), fast=False)


@pytest.mark.parametrize("separator", [",", ", ", " , ", ",\n"])
@pytest.mark.parametrize(
    "texts",
    [["a"], ["a", "b"], [""], ["a", ""], ["", "a"], ["a", "", "b"], ["x" * 128], ["x" * 129], ["a,b", "c"], [","]],
)
def test_plain_texts_are_split_as_they_would_be_parsed(texts: list[str], separator: str) -> None:
    array = f"[{separator.join(json.dumps(one) for one in texts)}]"
    body = f'{{"user_id": "u1", "candidates": {array}}}'.encode()
    found = outcome(body, fast=True)
    assert found == outcome(body, fast=False)
    assert isinstance(found, Wanted) == all(0 < len(one) <= 128 for one in texts)


@pytest.mark.parametrize("fast", [True, False])
def test_what_is_told_of_a_candidate_stands_at_its_place(fast: bool) -> None:
    body = b'{"user_id":"u1","candidates":["a",{"item_id":"b","author_id":"x","tags":["1","2"],"duration_ms":7},"c"]}'
    told = {1: Told("x", "1\x1f2", 7)}
    assert outcome(body, fast) == Wanted(
        "u1", [b"a", b"b", b"c"], told, None, None, columns=False, explain=False, impressions=False
    )


@pytest.mark.parametrize("fast", [True, False])
def test_candidates_of_a_batch_are_bounded_all_together(fast: bool) -> None:
    one = {"user_id": "u1", "candidates": ["v1"] * 60}
    assert outcome(orjson.dumps({"requests": [one, one]}), fast, batch=True) == TooLarge.__name__


def _dumped(value: object, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode()

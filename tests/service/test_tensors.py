"""Bodies of the Open Inference Protocol: what is refused, with which words, and that nothing else can happen."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from contract.errors import InvalidInput
from contract.events import MAX_ID_CHARACTERS
from service.inference import parse_request
from service.settings import ServiceSettings
from service.tensors import HEADER_LENGTH, read_body
from tests.service.conftest import Client
from tests.service.open_inference import INFER, SECRET, asked, assert_refused, in_binary, prefixed

MAX_CANDIDATES = 50
HUGE = 2**62
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no inputs": ({"inputs": []}, 422, "inputs lack item_id and user_id"),
    "inputs that are none": ({"inputs": SECRET}, 422, "Expected `array`, got `str` - at `$.inputs`"),
    "no item": (asked(item_id=None), 422, "inputs lack item_id"),
    "an unknown input": (asked(user_id={"name": SECRET}), 422, "known are user_id, item_id, surface"),
    "an input twice": (asked(user_id={"name": "item_id"}), 422, "send each once"),
    "an unknown output": (asked(outputs=[{"name": SECRET}]), 422, "known are score, confidence, label, known"),
    "an output twice": (asked(outputs=[{"name": "score"}] * 2), 422, "send each once"),
    "classification": (asked(outputs=[{"name": "score", "parameters": {"classification": 3}}]), 422, "leave them out"),
    "shared memory out": (
        asked(outputs=[{"name": "score", "parameters": {"shared_memory_region": SECRET}}]),
        422,
        "shared memory",
    ),
    "shared memory in": (asked(user_id={"data": None, "parameters": {"shared_memory_region": SECRET}}), 422, "data"),
    "a datatype of floats": (asked(item_id={"datatype": "FP32"}), 422, "item_id has a datatype that is not taken"),
    "an unknown datatype": (asked(item_id={"datatype": SECRET}), 422, "send BYTES, or INT64"),
    "integers as text": (asked(item_id={"data": [1, 2]}), 422, "item_id is BYTES, so each value"),
    "text as integers": (asked(item_id={"datatype": "INT64"}), 422, "item_id is INT64, so each value"),
    "a float": (asked(item_id={"data": [1.5, 2]}), 422, "got `float` - at `$.inputs[1].data[0]`"),
    "a truth value": (asked(item_id={"datatype": "INT64", "data": [True, False]}), 422, "got `bool`"),
    "an integer over 64 bits": (asked(item_id={"datatype": "INT64", "data": [2**63, 1]}), 422, "inputs[1].data[0]"),
    "an empty shape": (asked(item_id={"shape": []}), 422, "send [N] or [N, 1]"),
    "a matrix": (asked(item_id={"shape": [1, 2]}), 422, "send [N] or [N, 1]"),
    "a cube": (asked(item_id={"shape": [2, 1, 1]}), 422, "send [N] or [N, 1]"),
    "no elements": (asked(item_id={"shape": [0], "data": []}), 422, ">= 1 - at `$.inputs[1].shape[0]`"),
    "a negative size": (asked(item_id={"shape": [-1]}), 422, ">= 1 - at `$.inputs[1].shape[0]`"),
    "a huge size": (asked(item_id={"shape": [HUGE]}), 413, f"{HUGE} elements, the bound is {MAX_CANDIDATES}"),
    "a size over 64 bits": (asked(item_id={"shape": [2**70]}), 422, "inputs[1].shape[0]"),
    "a huge second size": (asked(item_id={"shape": [1, HUGE]}), 422, "send [N] or [N, 1]"),
    "too many": (
        asked(item_id={"shape": [MAX_CANDIDATES + 1], "data": ["v"] * (MAX_CANDIDATES + 1)}),
        413,
        "raise WINNOW_MAX_CANDIDATES",
    ),
    "less data than its shape says": (asked(item_id={"shape": [3]}), 422, "2 values in data, its shape says 3"),
    "more data than its shape says": (asked(item_id={"shape": [1]}), 422, "2 values in data, its shape says 1"),
    "rows of two": (asked(item_id={"shape": [2, 1], "data": [["a", "b"], ["c"]]}), 422, "has to be text"),
    "rows where none are": (asked(item_id={"data": [["a"], ["c"]]}), 422, "has to be text"),
    "as many users as fit neither": (asked(user_id={"shape": [3], "data": ["u"] * 3}), 422, "send 1, or 2"),
    "as many surfaces as fit neither": (asked(surface={"shape": [3], "data": ["s"] * 3}), 422, "send 1, or 2"),
    "an empty id": (asked(user_id={"data": [""]}), 422, "user_id[0] has 0 characters; 1 to 128 are taken"),
    "a long id": (asked(item_id={"data": ["v1", SECRET * 20]}), 422, "item_id[1] has 180 characters"),
    "a control character": (
        asked(item_id={"data": ["v1", SECRET + "\x00"]}),
        422,
        "item_id[1] has a control character",
    ),
    "no data": (asked(item_id={"data": None}), 422, "either in data or, by binary_data_size"),
    "binary data that is not there": (
        asked(item_id={"data": None, "parameters": {"binary_data_size": 12}}),
        422,
        "0 bytes follow the JSON, but the binary_data_size of all inputs add up to 12",
    ),
    "a huge binary size": (
        asked(item_id={"data": None, "parameters": {"binary_data_size": HUGE}}),
        422,
        f"add up to {HUGE}",
    ),
    "a negative binary size": (
        asked(item_id={"data": None, "parameters": {"binary_data_size": -12}}),
        422,
        ">= 1 - at `$.inputs[1].parameters.binary_data_size`",
    ),
    "a binary size that is text": (
        asked(item_id={"data": None, "parameters": {"binary_data_size": SECRET}}),
        422,
        "binary_data_size",
    ),
    "a binary flag that is text": (asked(parameters={"binary_data_output": SECRET}), 422, "binary_data_output"),
    "an id that is a number": (asked(id=7), 422, "at `$.id`"),
    "an id with a control character": (asked(id="\r\n"), 422, "id[0] has a control character"),
    "a long request id": (asked(id=SECRET * 20), 422, "id[0] has 180 characters"),
}


@pytest.fixture
def settings(home: Path) -> ServiceSettings:
    return ServiceSettings(home=home, reload_poll_s=0.01, max_candidates=MAX_CANDIDATES)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_request_is_said_in_the_protocols_shape(client: Client, name: str) -> None:
    body, status, why = REFUSED[name]
    assert_refused(client.post(INFER, json=body), status, why)


BINARY_REFUSED: dict[str, tuple[bytes, dict[str, object], str]] = {
    "an element that is cut": (prefixed(b"v1") + b"\x09\x00\x00\x00v", {}, "item_id[1] ends after the 11 bytes"),
    "a length that is cut": (prefixed(b"v1") + b"\x09\x00", {}, "item_id[1] ends after the 8 bytes"),
    "a length over everything": (b"\xff\xff\xff\xffv1", {}, "item_id[0] ends after the 6 bytes"),
    "an element too few": (prefixed(b"v1"), {}, "item_id[1] ends after the 6 bytes of item_id; its shape says 2"),
    "an element too many": (prefixed(b"v1", b"v2", b"v3"), {}, "item_id has 6 bytes after its 2 elements"),
    "what is not UTF-8": (prefixed(b"v1", SECRET.encode() + b"\xff"), {}, "item_id[1] is not UTF-8"),
    "a surrogate in UTF-8": (prefixed(b"v1", b"\xed\xa0\x80"), {}, "item_id[1] is not UTF-8"),
    "an empty id in binary": (prefixed(b"v1", b""), {}, "item_id[1] has 0 characters"),
    "a long id in binary": (prefixed(b"v1", SECRET.encode() * 20), {}, "item_id[1] has 180 characters"),
    "a control character in binary": (prefixed(b"v1\n", b"v2"), {}, "item_id[0] has a control character"),
    "integers that are cut": (b"\x01" * 15, {"datatype": "INT64"}, "15 bytes of data, 2 INT64 take 16"),
    "data twice": (prefixed(b"v1", b"v2"), {"data": ["v1", "v2"]}, "either in data or, by binary_data_size"),
    "another datatype in binary": (b"\x00" * 8, {"datatype": "FP32"}, "send BYTES, or INT64"),
}


@pytest.mark.parametrize("name", BINARY_REFUSED)
def test_what_is_wrong_with_binary_data_is_said_in_the_protocols_shape(client: Client, name: str) -> None:
    data, fields, why = BINARY_REFUSED[name]
    head = json.dumps(asked(item_id=in_binary(data, **fields))).encode()
    assert_refused(client.post(INFER, head + data, headers={HEADER_LENGTH: str(len(head))}), 422, why)


@pytest.mark.parametrize("length", ["0", "-1", "1e3", "99999", SECRET, "", "9" * 30])
def test_a_header_length_that_fits_no_body_is_refused(client: Client, length: str) -> None:
    answer = client.post(INFER, json.dumps(asked()), headers={HEADER_LENGTH: length})
    assert_refused(answer, 400, "the length of the JSON: a number from 1 to")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000, b'{"inputs":[],"x":' + b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(client: Client, body: bytes) -> None:
    answer = client.post(INFER, body)
    assert answer.status_code in (400, 422)
    assert_refused(answer, answer.status_code, "the body is not")


def test_bytes_after_the_json_that_no_input_claims_are_refused(client: Client) -> None:
    body = json.dumps(asked())
    answer = client.post(INFER, body + SECRET, headers={HEADER_LENGTH: str(len(body))})
    assert_refused(answer, 422, "9 bytes follow the JSON, but the binary_data_size of all inputs add up to 0")


IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=MAX_ID_CHARACTERS)


def read(body: bytes, header_length: str | None) -> tuple[list[str], list[str], list[str] | None]:
    found = parse_request(*read_body(body, header_length), MAX_CANDIDATES)
    return found.item_ids, found.user_ids, found.surfaces


def binary_request(items: Sequence[str], users: Sequence[str], surfaces: Sequence[str] | None) -> tuple[bytes, int]:
    """Return a request all in binary, and the length of its JSON."""
    tensors = {"surface": surfaces, "item_id": items, "user_id": users}
    data = {name: prefixed(*map(str.encode, texts)) for name, texts in tensors.items() if texts is not None}
    inputs = [
        in_binary(raw, name=name, shape=[len(tensors[name] or ())], datatype="BYTES") for name, raw in data.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(data.values()), len(head)


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[str], list[str], list[str] | None]:
    """Items, users and surfaces of a valid request."""
    count = draw(st.integers(1, 6))
    of_items = st.lists(IDS, min_size=count, max_size=count)
    one_or_each = st.lists(IDS, min_size=1, max_size=1) | of_items
    return draw(of_items), draw(one_or_each), draw(st.none() | one_or_each)


def assert_is_refusal(error: Exception) -> None:
    assert isinstance(error, InvalidInput) or (isinstance(error, HTTPException) and error.status_code == 400)


@given(requests())
def test_binary_ids_are_read_as_they_were_written(request: tuple[list[str], list[str], list[str] | None]) -> None:
    body, head_bytes = binary_request(*request)
    assert read(body, str(head_bytes)) == request


@given(requests(), st.data())
def test_damaged_binary_requests_are_read_or_refused_and_nothing_else(
    request: tuple[list[str], list[str], list[str] | None], data: st.DataObject
) -> None:
    body, head_bytes = binary_request(*request)
    at = data.draw(st.integers(0, len(body)))
    damaged = body[:at] + data.draw(st.binary(max_size=8)) + body[at + data.draw(st.integers(0, 8)) :]
    header_length = data.draw(st.sampled_from([head_bytes, head_bytes - 1, head_bytes + 4, len(damaged)]))
    try:
        items, users, surfaces = read(damaged, str(header_length))
    except (InvalidInput, HTTPException) as error:
        assert_is_refusal(error)
        return
    assert 1 <= len(items) <= MAX_CANDIDATES
    assert len(users) in (1, len(items))
    assert surfaces is None or len(surfaces) in (1, len(items))


@given(st.binary(max_size=200), st.none() | st.text(max_size=6) | st.integers(-5, 205).map(str))
def test_any_bytes_are_refused_in_good_order(body: bytes, header_length: str | None) -> None:
    with pytest.raises((InvalidInput, HTTPException)) as refused:
        read(body, header_length)
    assert_is_refusal(refused.value)

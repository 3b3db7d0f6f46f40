"""Requests of the Open Inference Protocol, as tests send them, and refusals as they expect them."""

import struct
from typing import Any

import httpx

from service.inference import INPUTS

INFER = "/v2/models/winnow/infer"
SECRET = "swordfish"


def asked(**changes: object) -> dict[str, Any]:
    """A valid request in JSON; a field named as an input replaces fields of that input, None takes it away."""
    inputs: dict[str, Any] = {
        "user_id": {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u1"]},
        "item_id": {"name": "item_id", "shape": [2], "datatype": "BYTES", "data": ["v1", "v2"]},
    }
    body: dict[str, Any] = {}
    for name, change in changes.items():
        if name not in INPUTS:
            body[name] = change
        elif change is None:
            del inputs[name]
        else:
            assert isinstance(change, dict)
            inputs[name] = {"name": name, "shape": [1], "datatype": "BYTES"} | inputs.get(name, {}) | change
    return {"inputs": list(inputs.values()), **body}


def in_binary(raw: bytes, **fields: object) -> dict[str, object]:
    return {"data": None, "parameters": {"binary_data_size": len(raw)}} | fields


def prefixed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(one)) + one for one in elements)


def assert_refused(answer: httpx.Response, status: int, why: str) -> None:
    """Check for the protocol's error with this status, which names `why` and repeats nothing that was sent."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert why in answer.json()["error"]
    assert SECRET not in answer.text

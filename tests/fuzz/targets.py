"""What is fuzzed: each reader of bytes from outside as a function that must return, and what it is fed at first (F31).

A target raises for a defect only: a refusal is an answer. Where there are two ways to read, they must agree.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import orjson
from starlette.exceptions import HTTPException

from contract.blocks import decode_block, encode_block
from contract.errors import CorruptBlock, RegistryError, WinnowError
from contract.events import EventLists, Events, FeedbackEvent
from contract.impressions import Impressions, Proof
from contract.manifest import MANIFEST_FILE, read_manifest
from contract.registry import Registry
from service.fast_events import read_fast
from service.feedback import EXAMPLE, read_by_schema
from service.models import EXAMPLE as MANIFEST
from service.wanted import batch_of, wanted_of
from trainer.dedupe import Dedupe

_DIRECTORY = Path(tempfile.mkdtemp(prefix="winnow-fuzz-"))
_REGISTRY = Registry(_DIRECTORY)
_SIGNING = Impressions([b"s" * 32], 3_600)
_EVENT = orjson.dumps(EXAMPLE)
_SCORE = b'{"user_id":"u1","candidates":["v1","v2"],"surface":"feed","top_k":5,"format":"items","explain":false}'
_RICH = (
    b'{"user_id":7,"candidates":["v1",{"item_id":2,"author_id":"a","tags":["39"],"duration_ms":9}],"impressions":true}'
)
_CHAMPION = b'{"version":"000002","previous":"000001","pinned":false,"why":"gate","changed_ms":1795593600000}'


class Target(NamedTuple):
    """A reader, and inputs that it takes."""

    read: Callable[[bytes], None]
    seeds: list[bytes]


def feedback(data: bytes) -> None:
    """The fast way takes nothing otherwise than the schema does; the first byte chooses lines or not."""
    in_lines, body = data[:1] == b"\n", data[1:]
    try:
        by_schema = EventLists.of_models(read_by_schema(body, in_lines, 100))
    except (WinnowError, HTTPException):
        by_schema = None
    found = read_fast(body, in_lines, 100)
    if found is not None:
        assert by_schema is not None, "the fast way takes what the schema refuses"
        assert [list(column) for column in found] == [list(column) for column in by_schema]


def score(data: bytes) -> None:
    """Both ways to read a score request, and a batch, agree."""
    for read in (wanted_of, batch_of):
        outcomes = []
        for fast in (True, False):
            with mock.patch("service.wanted.is_plain", (lambda _: False) if not fast else _is_plain):
                try:
                    outcomes.append(repr(read(data, 100)))
                except (WinnowError, HTTPException) as error:
                    outcomes.append(type(error).__name__)
        assert outcomes[0] == outcomes[1]


def _is_plain(body: bytes) -> bool:
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def block(data: bytes) -> None:
    """A block is refused, or its events make the same block again."""
    try:
        events = decode_block(data)
    except CorruptBlock:
        return
    assert encode_block(events) == data


def manifest(data: bytes) -> None:
    """A manifest is read or refused."""
    (_DIRECTORY / MANIFEST_FILE).write_bytes(data)
    try:
        read_manifest(_DIRECTORY)
    except RegistryError:
        return


def champion(data: bytes) -> None:
    """A champion file is read or refused."""
    _REGISTRY.champion_file.write_bytes(data)
    try:
        _REGISTRY.champion()
    except RegistryError:
        return


def dedupe(data: bytes) -> None:
    """An event is fresh if it has not come among the latest of the window; the first byte is the window."""
    window = 1 + data[0] % 16 if data else 1
    keys = np.frombuffer(data[1 : 1 + (len(data) - 1) // 2 * 2], "<u2").astype(np.uint64) + np.uint64(2)
    remembers, seen = Dedupe(window), list[int]()
    for batch in (keys[at : at + 5] for at in range(0, len(keys), 5)):
        before = set(seen[-window:])
        fresh = remembers.fresh(batch)
        for key, is_fresh in zip(batch.tolist(), fresh.tolist(), strict=True):
            assert not (is_fresh and key in before)
            assert is_fresh or key in seen or batch.tolist().count(key) > 1
        seen += batch[fresh].tolist()


def impression(data: bytes) -> None:
    """No text but the signed one proves anything."""
    text = data.decode(errors="replace")
    proof = _SIGNING.proof(text, "u1", "v1", 1_795_593_600_000)
    assert (proof is Proof.VALID) == (text == _TOKEN)


[_TOKEN] = _SIGNING.sign("u1", [b"v1"], "000042", 1_795_593_600_000)
_BLOCK = encode_block(Events.from_models([FeedbackEvent.model_validate(EXAMPLE)] * 3))
TARGETS = {
    "feedback": Target(feedback, [b" " + _EVENT, b" [" + _EVENT + b"]", b"\n" + _EVENT + b"\n" + _EVENT]),
    "score": Target(score, [_SCORE, _RICH, b'{"requests":[' + _SCORE + b"," + _RICH + b"]}"]),
    "block": Target(block, [_BLOCK]),
    "manifest": Target(manifest, [MANIFEST.model_dump_json().encode()]),
    "champion": Target(champion, [_CHAMPION, b"[" * 100_000]),
    "dedupe": Target(dedupe, [bytes(range(64)), b"\x04" + b"\x01\x00" * 20]),
    "impression": Target(impression, [_TOKEN.encode()]),
}

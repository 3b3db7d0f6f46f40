"""Entries that no trainer may learn: noise, other versions, torn blocks, and numbers that no validation let in (P8)."""

import random

import numpy as np

from benchmarks.chaos.recorder import Fields
from contract.blocks import RECORD, encode_block
from contract.event_log import append_arguments
from contract.events import Events, FeedbackEvent

_HEADER_BYTES = 8  # the magic and the count
# The format has no floats; these are what NaN, infinity and -0.0 look like to a field of whole numbers.
_NAN, _INFINITY, _MINUS_ZERO = (int(np.float32(x).view(np.int32)) for x in (float("nan"), float("inf"), -0.0))
_NAN_64, _MINUS_INFINITY_64 = (int(np.float64(x).view(np.int64)) for x in (float("nan"), float("-inf")))
_NUMBERS = (
    ("watch_ms", _NAN),
    ("watch_ms", _INFINITY),
    ("duration_ms", _MINUS_ZERO),
    ("at_ms", _NAN_64),
    ("at_ms", _MINUS_INFINITY_64),
    ("at_ms", -1),
    ("watch_ms", -2),
    ("position", 32_767),
    ("actions", 255),
    ("foreground", 2),
    ("user_key", 0),
    ("event_id_bytes", 65_535),
)
KINDS = 8 + len(_NUMBERS)


def bad_entry(kind: int, draw: random.Random) -> Fields:
    """Return the fields of an entry of one of the `KINDS`, each different from any before."""
    block = _good(draw)
    if kind < len(_NUMBERS):
        name, number = _NUMBERS[kind]
        return append_arguments(1, _with_number(block, name, number))
    return (
        append_arguments(1, draw.randbytes(draw.randrange(1, 400))),
        append_arguments(1, b"WNX1" + block[4:]),
        append_arguments(1, b"WNW2" + block[4:]),
        append_arguments(1, block[: draw.randrange(len(block))]),
        append_arguments(1, block + b"\0"),
        append_arguments(1, block[:4] + (2**32 - 1).to_bytes(4, "little") + block[8:]),
        append_arguments(1, block[:-1] + b"\xff"),
        {b"other": draw.randbytes(8)},
    )[kind - len(_NUMBERS)]


def _good(draw: random.Random) -> bytes:
    event = FeedbackEvent(
        event_id=f"bad{draw.getrandbits(64):x}",
        user_id=f"u{draw.randrange(200)}",
        item_id=f"v{draw.randrange(300)}",
        at=1_650_000_000_000,
        watch_ms=1_000,
        duration_ms=30_000,
        surface="feed",
    )
    return encode_block(Events.from_models([event]))


def _with_number(block: bytes, name: str, number: int) -> bytes:
    record = np.frombuffer(block, RECORD, 1, _HEADER_BYTES).copy()
    record[name] = number
    return block[:_HEADER_BYTES] + record.tobytes() + block[_HEADER_BYTES + RECORD.itemsize :]

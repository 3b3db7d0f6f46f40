"""Ranked items as JSON.

A few are dumped as structs. Many are written as one matrix of bytes, a row an item and a column a character: rows
differ only in an id, two probabilities and two flags, so the text around them is a template that NumPy repeats, and
probabilities are looked up four digits at a time. For 1,000 items that takes half of the time that msgspec needs for a
struct an item, and a third of that of orjson for a dict an item; for 30 structs are ahead (docs/decisions/0011). After
a shorter id stand blanks, which JSON allows.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

DECIMALS = 8
FEW = 32
_SCALE = np.float64(10**DECIMALS)
_DIGITS = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), "<u4")
_HEAD, _SCORE, _CONFIDENCE = b',{"item_id":"', b',"score":0.', b',"confidence":0.'
_TAILS = np.frombuffer(
    b"".join(b',"label":%d,"known":%s}' % (label, known) for known in (b"false", b"true ") for label in (0, 1)),
    np.uint8,
).reshape(4, -1)


class _Row(msgspec.Struct, gc=False):
    item_id: str
    score: float
    confidence: float
    label: int
    known: bool


_ENCODER = msgspec.json.Encoder()


class _Columns(NamedTuple):
    """The text of a row, and where in it the parts that differ begin."""

    template: Bytes
    score: int
    confidence: int
    tail: int


def rows_json(
    item_ids: Sequence[bytes],
    order: npt.NDArray[np.int64],
    score: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    label: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
) -> bytes:
    """Return `[{"item_id":"v1","score":0.0712,"confidence":0.9288,"label":0,"known":true}, ...]` in that order.

    Probabilities are rounded to DECIMALS, and what rounds to 1 is written 0.99999999. Ids are UTF-8. All have shape [N]
    but `order`, which is [K] with K at least 1.
    """
    columns = score.take(order), confidence.take(order), label.take(order), known.take(order)
    if len(order) <= FEW:
        return _structs([item_ids[place].decode() for place in order.tolist()], *columns)
    texts = np.array(item_ids)  # [N] of the longest id's bytes, the others filled up with NUL
    characters = texts.view(np.uint8).reshape(len(texts), -1)
    if ((characters == ord('"')) | (characters == ord("\\"))).any():  # they need an escape
        return _structs([item_ids[place].decode() for place in order.tolist()], *columns)
    return _matrix(np.maximum(characters, ord(" ")).take(order, axis=0), np.char.str_len(texts).take(order), *columns)


def _structs(
    item_ids: Sequence[str],
    score: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    label: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
) -> bytes:
    columns = rounded(score), rounded(confidence), label.view(np.uint8), known
    return _ENCODER.encode(list(map(_Row, item_ids, *(column.tolist() for column in columns))))


def _matrix(
    characters: Bytes,
    length: npt.NDArray[np.int64],
    score: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    label: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
) -> bytes:
    """Return the rows of ids [K, W], blanks after each, of which `length` [K] bytes are its own."""
    count, width = characters.shape
    columns = _columns(width + 1)
    rows = np.empty((count, len(columns.template)), np.uint8)
    rows[:] = columns.template
    rows[:, len(_HEAD) : len(_HEAD) + width] = characters
    rows[np.arange(count), len(_HEAD) + length] = ord('"')
    digits = _digits(np.concatenate([score, confidence]))
    rows[:, columns.score : columns.score + DECIMALS] = digits[:count]
    rows[:, columns.confidence : columns.confidence + DECIMALS] = digits[count:]
    rows[:, columns.tail :] = _TAILS.take(label + 2 * known.view(np.uint8), axis=0)
    rows[0, 0] = ord("[")  # in place of the comma before the first
    return rows.tobytes() + b"]"


@lru_cache(maxsize=256)
def _columns(width: int) -> _Columns:
    """Return the row for ids of up to `width` bytes, the closing quote included."""
    parts = [_HEAD, b" " * width, _SCORE, b"0" * DECIMALS, _CONFIDENCE, b"0" * DECIMALS, bytes(_TAILS.shape[1])]
    _, _, _, score, _, confidence, tail = np.cumsum([0, *map(len, parts)])[:-1].tolist()
    return _Columns(np.frombuffer(b"".join(parts), np.uint8), score, confidence, tail)


def rounded(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the numbers that `rows_json` writes. Shape [N] -> [N]."""
    return _scaled(probability) / _SCALE


def _scaled(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    return np.minimum((probability * _SCALE + 0.5).astype(np.int64), int(_SCALE) - 1)


def _digits(probability: npt.NDArray[np.float32]) -> Bytes:
    """Return the DECIMALS digits behind the point. Shape [N] -> [N, DECIMALS]."""
    scaled = _scaled(probability)
    high = scaled // 10_000
    return np.stack([_DIGITS.take(high), _DIGITS.take(scaled - high * 10_000)], 1).view(np.uint8)

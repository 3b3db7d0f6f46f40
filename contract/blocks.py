"""Events in packed form: one block is one entry of the event log.

    "WNW1" | n: uint32 | n fixed-width records (RECORD) | texts, field by field, UTF-8, lengths in the records

All numbers are little-endian. A block that breaks any of its own lengths or a bound raises CorruptBlock. Many blocks
are packed and unpacked at once: with a few events in each, the cost would be that of the blocks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contract.errors import CorruptBlock
from contract.events import (
    ABSENT,
    COLUMNS,
    MAX_AT_MS,
    MAX_ID_CHARACTERS,
    MAX_MS,
    MAX_POSITION,
    TEXT_COLUMNS,
    Action,
    Events,
    Texts,
    texts_of,
)
from contract.hashing import PARTITIONS, RESERVED_KEYS, partitions_of

_NUMBER_COLUMNS = [name for name in COLUMNS if name not in TEXT_COLUMNS]

RECORD = np.dtype(
    [
        ("event_key", "<u8"),
        ("user_key", "<u8"),
        ("item_key", "<u8"),
        ("at_ms", "<i8"),
        ("watch_ms", "<i4"),
        ("duration_ms", "<i4"),
        ("position", "<i2"),
        ("actions", "u1"),
        ("foreground", "i1"),
        *[(f"{name}_bytes", "<u2") for name in TEXT_COLUMNS],
    ]
)
_MAGIC = b"WNW1"
_HEADER_BYTES = len(_MAGIC) + 4
_Whole = npt.NDArray[np.int64]


class Piece(NamedTuple):
    """Events of one partition on their way into a block: compact, and quickly joined with others."""

    events: int
    parts: list[bytes]  # the records, then the texts of each column


Pieces = dict[int, Piece]  # by partition


def encode_block(events: Events) -> bytes:
    """Pack events, at least one, into one block."""
    (piece,) = _cut(events, [0, len(events)])
    return _block([piece])


def pieces_of(events: Events) -> Pieces:
    """Pack events, at least one, by the partition of the log that they belong to. Within one their order stays."""
    partition = partitions_of(events.user_key)
    bounds = accumulate(np.bincount(partition, minlength=PARTITIONS).tolist(), initial=0)
    cut = _cut(events.take(np.argsort(partition, kind="stable")), list(bounds))
    return {number: piece for number, piece in enumerate(cut) if piece.events}


def encode_partitions(several: Sequence[Pieces]) -> dict[int, tuple[int, bytes]]:
    """Return one block for each partition: {partition: (events, block)}. Events stay in the order of the pieces."""
    joined: defaultdict[int, list[Piece]] = defaultdict(list)
    for pieces in several:
        for partition, piece in pieces.items():
            joined[partition].append(piece)
    return {number: (sum(piece.events for piece in pieces), _block(pieces)) for number, pieces in joined.items()}


def events_in(block: bytes) -> int:
    """Return how many events a block says it holds. Raises CorruptBlock if it is too short for them, or no block."""
    count = int.from_bytes(block[len(_MAGIC) : _HEADER_BYTES], "little")
    if block[: len(_MAGIC)] != _MAGIC or len(block) < _texts_at(count) or count == 0:
        raise CorruptBlock(f"{len(block)} bytes that begin with {block[:8]!r} are no block of version 1")
    return count


def decode_block(block: bytes) -> Events:
    """Unpack one log entry. Raises CorruptBlock if it is not a whole, well-formed block."""
    return decode_blocks([block])


def decode_blocks(blocks: Sequence[bytes]) -> Events:
    """Unpack log entries, at least one, into their events in order. Raises CorruptBlock if any of them is not well."""
    counts = [events_in(block) for block in blocks]
    whole = b"".join([block[_HEADER_BYTES : _texts_at(count)] for block, count in zip(blocks, counts, strict=True)])
    record = np.frombuffer(whole, RECORD)
    columns: dict[str, Any] = {name: record[name].copy() for name in _NUMBER_COLUMNS}
    lengths = np.stack([record[f"{name}_bytes"] for name in TEXT_COLUMNS]).astype(np.int64)  # [texts, N]
    _check_bounds(columns, lengths)
    first = np.append(0, np.cumsum(counts)[:-1])  # every block has an event
    ends = np.cumsum(np.add.reduceat(lengths, first, axis=1), axis=0) + [_texts_at(count) for count in counts]
    for block, end in zip(blocks, ends[-1].tolist(), strict=True):
        if end != len(block):
            raise CorruptBlock(f"block of {len(block)} bytes should have {end} by its own lengths")
    starts = [_texts_at(count) for count in counts]
    for name, length, end in zip(TEXT_COLUMNS, lengths, ends.tolist(), strict=True):
        parts = [block[a:b] for block, a, b in zip(blocks, starts, end, strict=True)]
        columns[name] = _texts_in(b"".join(parts), length)
        starts = end
    return Events(**columns)


def _cut(events: Events, bounds: Sequence[int]) -> Iterator[Piece]:
    """Yield what lies between each two bounds."""
    record = np.empty(len(events), RECORD)
    for name in _NUMBER_COLUMNS:
        record[name] = getattr(events, name)
    ends = np.zeros((len(TEXT_COLUMNS), len(events) + 1), np.int64)  # where each text ends in the bytes of its column
    columns: list[bytes] = []
    for name, end in zip(TEXT_COLUMNS, ends, strict=True):
        data, lengths = _bytes_of(getattr(events, name).tolist())
        record[f"{name}_bytes"] = end[1:] = lengths
        columns.append(data)
    cuts = np.cumsum(ends, axis=1)[:, bounds].T.tolist()
    for (first, a), (past, b) in pairwise(zip(bounds, cuts, strict=True)):
        texts = [data[i:j] for data, i, j in zip(columns, a, b, strict=True)]
        yield Piece(past - first, [record[first:past].tobytes(), *texts])


def _block(pieces: Sequence[Piece]) -> bytes:
    count = sum(piece.events for piece in pieces)
    parts = chain.from_iterable(zip(*[piece.parts for piece in pieces], strict=True))  # column by column
    return b"".join([_MAGIC, count.to_bytes(4, "little"), *parts])


def _bytes_of(texts: list[str]) -> tuple[bytes, _Whole | int]:
    """Return the UTF-8 of all texts, and the bytes of each. Texts that say nothing cost nothing."""
    joined = "".join(texts)
    if not joined:
        return b"", 0
    if joined.isascii():
        return joined.encode(), np.fromiter(map(len, texts), np.int64, len(texts))
    encoded = [text.encode() for text in texts]
    return b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(texts))


def _texts_in(data: bytes, lengths: _Whole) -> Texts:
    """Cut the UTF-8 of a column into its texts. Raises CorruptBlock."""
    if not data:
        return texts_of([""] * len(lengths))
    bounds = accumulate(lengths.tolist(), initial=0)
    if data.isascii():
        text = data.decode()  # once: then each is a slice
        return texts_of([text[a:b] for a, b in pairwise(bounds)])
    try:
        return texts_of([data[a:b].decode() for a, b in pairwise(bounds)])
    except UnicodeDecodeError as error:
        raise CorruptBlock(f"block holds text that is not UTF-8: {error.reason} at byte {error.start}") from None


def _texts_at(count: int) -> int:
    return _HEADER_BYTES + count * RECORD.itemsize


def _check_bounds(columns: dict[str, npt.NDArray[Any]], lengths: _Whole) -> None:
    """Refuse numbers that validation would not have let in; the log is not trusted."""
    texts = {f"{name}_bytes": length for name, length in zip(TEXT_COLUMNS, lengths, strict=True) if name != "tags"}
    for name, low, high in [
        ("at_ms", 0, MAX_AT_MS),
        ("watch_ms", ABSENT, MAX_MS),
        ("duration_ms", ABSENT, MAX_MS),
        ("position", ABSENT, MAX_POSITION),
        ("foreground", ABSENT, 1),
        ("actions", 0, 2 ** len(Action) - 1),
        *[(name, RESERVED_KEYS, 2**64 - 1) for name in ("user_key", "item_key", "event_key")],
        *[(name, 0, 4 * MAX_ID_CHARACTERS) for name in texts],
    ]:
        column = texts[name] if name in texts else columns[name]
        if int(column.min()) < low or int(column.max()) > high:
            raise CorruptBlock(f"{name} spans {column.min()}..{column.max()}, outside {low}..{high}")

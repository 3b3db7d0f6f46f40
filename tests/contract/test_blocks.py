"""The packed form of events: what goes in comes out, and hostile bytes raise CorruptBlock and nothing else."""

import random
import struct
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.blocks import (
    RECORD,
    decode_block,
    decode_blocks,
    encode_block,
    encode_partitions,
    events_in,
    pieces_of,
)
from contract.errors import CorruptBlock
from contract.events import (
    ABSENT,
    MAX_AT_MS,
    MAX_ID_CHARACTERS,
    MAX_MS,
    MAX_POSITION,
    TEXT_COLUMNS,
    Action,
    Events,
    FeedbackEvent,
)
from contract.hashing import partitions_of
from tests import strategies

HEADER_BYTES = 8
TWO = Events.from_models(
    [
        FeedbackEvent(
            event_id="é1", user_id="u1", item_id="v2", at=1_795_593_600_000, watch_ms=4200, tags=["39", "视频"]
        ),
        FeedbackEvent(
            event_id="e2", user_id="u1", item_id="v3", at=1, actions=[Action.LIKE], surface="feed", position=3
        ),
    ]
)
BLOCK = encode_block(TWO)


def assert_same(found: Events, expected: Events) -> None:
    for field in fields(Events):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        assert left.dtype == right.dtype, field.name
        assert left.tolist() == right.tolist(), field.name


def assert_bounded_or_refused(block: bytes) -> None:
    """Decode; the outcome must be CorruptBlock or events that validation could have let in."""
    try:
        found = decode_block(block)
    except CorruptBlock:
        return
    assert len(found) >= 1
    bounds: list[tuple[npt.NDArray[np.integer[Any]], int, int]] = [
        (found.at_ms, 0, MAX_AT_MS),
        (found.watch_ms, ABSENT, MAX_MS),
        (found.duration_ms, ABSENT, MAX_MS),
        (found.position, ABSENT, MAX_POSITION),
        (found.foreground, ABSENT, 1),
        (found.actions, 0, 127),
    ]
    for column, low, high in bounds:
        assert low <= int(column.min()) <= int(column.max()) <= high
    for keys in (found.event_key, found.user_key, found.item_key):
        assert int(keys.min()) >= 2
    for texts in (found.event_id, found.user_id, found.item_id, found.surface, found.author_id, found.impression_id):
        assert all(len(text.encode()) <= 4 * MAX_ID_CHARACTERS for text in texts)


def with_record(**changes: int) -> bytes:
    """Return the block of two with some numbers of its first record changed."""
    record = np.frombuffer(BLOCK, RECORD, 2, HEADER_BYTES).copy()
    for name, value in changes.items():
        record[name][0] = value
    return BLOCK[:HEADER_BYTES] + record.tobytes() + BLOCK[HEADER_BYTES + record.nbytes :]


@given(strategies.events)
def test_decoding_undoes_encoding(events: Events) -> None:
    assert_same(decode_block(encode_block(events)), events)


@given(st.lists(strategies.events, min_size=1, max_size=4))
def test_concatenated_and_taken_events_are_the_events(parts: list[Events]) -> None:
    whole = Events.concatenate(parts)
    assert len(whole) == sum(len(part) for part in parts)
    assert_same(whole.take(slice(0, len(parts[0]))), parts[0])
    assert_same(whole.take(np.arange(len(whole)) >= len(whole) - len(parts[-1])), parts[-1])


@given(st.lists(strategies.events, min_size=1, max_size=5))
def test_many_blocks_decode_as_each_does(parts: list[Events]) -> None:
    blocks = [encode_block(part) for part in parts]
    assert_same(decode_blocks(blocks), Events.concatenate([decode_block(block) for block in blocks]))
    assert [events_in(block) for block in blocks] == [len(part) for part in parts]


@given(st.lists(strategies.events, min_size=1, max_size=4))
def test_events_packed_piece_by_piece_are_one_block_a_partition_in_their_order(parts: list[Events]) -> None:
    whole = Events.concatenate(parts)
    partition = partitions_of(whole.user_key)
    expected = {int(number): whole.take(partition == number) for number in np.unique(partition)}
    found = encode_partitions([pieces_of(part) for part in parts])
    assert found == {number: (len(events), encode_block(events)) for number, events in expected.items()}


@given(st.lists(strategies.blocks, min_size=1, max_size=3), st.integers(0, 3), st.integers(1, 60))
def test_one_bad_block_among_good_ones_is_refused(blocks: list[bytes], place: int, missing: int) -> None:
    with pytest.raises(CorruptBlock):
        decode_blocks([*blocks[:place], BLOCK[:-missing], *blocks[place:]])
    with pytest.raises(CorruptBlock):  # what one block lacks, the next has too much
        decode_blocks([*blocks[:place], BLOCK[:-1], BLOCK[-1:] + BLOCK, *blocks[place:]])


@given(strategies.events)
def test_the_bytes_of_a_block_stay_what_they_are(events: Events) -> None:
    """Blocks lie in logs: numbers by the record's own layout, then the texts of one field after another."""
    texts = [[text.encode() for text in getattr(events, name)] for name in TEXT_COLUMNS]
    rows = [
        struct.pack(
            "<QQQqiihBb7H",
            *(int(getattr(events, name)[n]) for name in ("event_key", "user_key", "item_key", "at_ms", "watch_ms")),
            *(int(getattr(events, name)[n]) for name in ("duration_ms", "position", "actions", "foreground")),
            *(len(column[n]) for column in texts),
        )
        for n in range(len(events))
    ]
    parts = [b"WNW1", struct.pack("<I", len(events)), *rows, *(text for column in texts for text in column)]
    assert encode_block(events) == b"".join(parts)


def test_a_decoded_event_does_not_hold_the_block() -> None:
    found = decode_block(BLOCK)
    assert all(getattr(found, field.name).flags.writeable for field in fields(Events))
    assert found.at_ms.base is None


def test_a_block_cut_short_anywhere_is_refused() -> None:
    for length in range(len(BLOCK)):
        with pytest.raises(CorruptBlock):
            decode_block(BLOCK[:length])


def test_a_block_with_a_tail_is_refused() -> None:
    with pytest.raises(CorruptBlock, match=f"should have {len(BLOCK)} by its own lengths"):
        decode_block(BLOCK + b"\0")


def test_every_flipped_bit_is_refused_or_stays_in_bounds() -> None:
    for bit in range(8 * len(BLOCK)):
        block = bytearray(BLOCK)
        block[bit // 8] ^= 1 << bit % 8
        assert_bounded_or_refused(bytes(block))


@given(strategies.blocks, st.randoms(use_true_random=False), st.integers(1, 12))
def test_many_damaged_bytes_are_refused_or_stay_in_bounds(block: bytes, dice: random.Random, damages: int) -> None:
    damaged = bytearray(block)
    for _ in range(damages):
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
    assert_bounded_or_refused(bytes(damaged))


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1))
def test_any_bytes_are_refused_or_stay_in_bounds(tail: bytes, count: int) -> None:
    assert_bounded_or_refused(tail)
    assert_bounded_or_refused(b"WNW1" + count.to_bytes(4, "little") + tail)
    assert_bounded_or_refused(b"WNW1" + (len(tail) // RECORD.itemsize).to_bytes(4, "little") + tail)


@pytest.mark.parametrize("count", [0, 1, 3, 2**31, 2**32 - 1])
def test_a_count_that_does_not_fit_the_block_is_refused(count: int) -> None:
    with pytest.raises(CorruptBlock):
        decode_block(BLOCK[:4] + count.to_bytes(4, "little") + BLOCK[8:])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("at_ms", value) for value in (-1, MAX_AT_MS + 1, -(2**63), 2**63 - 1)],
        *[(name, value) for name in ("watch_ms", "duration_ms") for value in (-2, MAX_MS + 1, -(2**31), 2**31 - 1)],
        *[("position", value) for value in (-2, MAX_POSITION + 1, -(2**15), 2**15 - 1)],
        *[("foreground", value) for value in (-2, 2, -128, 127)],
        *[("actions", value) for value in (128, 255)],
        *[(name, value) for name in ("event_key", "user_key", "item_key") for value in (0, 1)],
        *[(f"{name}_bytes", 513) for name in ("event_id", "user_id", "item_id", "surface", "author_id")],
    ],
)
def test_a_number_that_validation_refuses_is_refused_in_the_log(field: str, value: int) -> None:
    with pytest.raises(CorruptBlock, match=field):
        decode_block(with_record(**{field: value}))


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(CorruptBlock, match="not UTF-8"):
        decode_block(BLOCK.replace("é".encode(), b"\xff\xff"))
    shifted = with_record(event_id_bytes=1)  # ends inside the é; the first user id takes what is left of it
    with pytest.raises(CorruptBlock):
        decode_block(shifted)


def test_a_bound_of_the_field_is_a_bound_of_the_record() -> None:
    """The widest event fits its record: no number or length wraps around on the way in."""
    event = FeedbackEvent(
        event_id="🦊" * 128, user_id="u", item_id="i", at=MAX_AT_MS, watch_ms=MAX_MS, duration_ms=MAX_MS,
        tags=["🦊" * 128] * 16, position=MAX_POSITION, foreground=True,
    )  # fmt: skip
    found = decode_block(encode_block(Events.from_models([event])))
    assert found.tags[0].split("\x1f") == event.tags
    assert (int(found.at_ms[0]), int(found.watch_ms[0]), int(found.position[0])) == (MAX_AT_MS, MAX_MS, MAX_POSITION)

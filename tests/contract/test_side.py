"""Side features: texts find the same row everywhere and always, within their kind's rows; nothing known is row 0."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from contract.side import (
    AUTHOR,
    DURATION,
    ITEM_SLOTS,
    LEAST_SIDE_ROWS,
    MAX_SIDE_TAGS,
    SIDE_SLOTS,
    SURFACE,
    TAGS,
    kind_bounds,
    side_rows,
    surface_row,
)
from contract.watch import DURATION_EDGES_MS
from tests.strategies import text_ids

table_sizes = st.integers(LEAST_SIDE_ROWS, 1 << 22)


def one(surface: str = "", author: str = "", tags: str = "", duration_ms: int = 0, rows: int = 4_096) -> list[int]:
    found = side_rows([surface], [author], [tags], np.array([duration_ms], np.int32), rows)
    assert found.shape == (1, SIDE_SLOTS)
    assert found.dtype == np.int32
    result: list[int] = found[0].tolist()
    return result


def test_nothing_known_is_row_zero_in_every_slot() -> None:
    assert one() == one(duration_ms=-1) == [0] * SIDE_SLOTS


def test_each_feature_has_a_slot_of_its_own() -> None:
    nothing = one()
    told = {SURFACE: one(surface="x"), AUTHOR: one(author="x"), TAGS.start: one(tags="x"), DURATION: one(duration_ms=9)}
    for slot, found in told.items():
        assert found[slot] != 0
        assert [*found[:slot], *found[slot + 1 :]] == nothing[1:]
    assert not any(one(surface="feed")[ITEM_SLOTS])


@given(text_ids, table_sizes)
def test_a_text_has_a_row_of_its_kind(text: str, rows: int) -> None:
    found = one(surface=text, author=text, tags=text, duration_ms=1, rows=rows)
    bounds = kind_bounds(rows)
    for slot, kind in ((SURFACE, "surface"), (DURATION, "duration"), (AUTHOR, "author"), (TAGS.start, "tag")):
        first, end = bounds[kind]
        assert first <= found[slot] < end <= rows
    assert found[SURFACE] == surface_row(text, rows)


@given(table_sizes)
def test_kinds_share_no_row_and_leave_row_zero_alone(rows: int) -> None:
    bounds = sorted(kind_bounds(rows).values())
    assert bounds[0][0] == 1
    assert bounds[-1][1] == rows
    for (first, end), (after, _) in pairwise(bounds):
        assert first < end <= after


def test_rows_do_not_move_between_releases() -> None:
    """Tables are learned row by row, so a changed hash would serve one text with the weights of another."""

    def row(text: str, first: int, end: int) -> int:
        return first + xxh3_64_intdigest(text.encode()) % (end - first)

    tags = [row("39", 1_024, 4_096), row("7", 1_024, 4_096)]
    author = row("a7", 4_096, 16_384)
    assert one("feed", "a7", "39\x1f7", 9_000, rows=16_384) == [row("feed", 32, 1_024), 4, author, *tags, 0, 0]


def test_the_first_tags_count_in_any_number() -> None:
    names = [f"t{number}" for number in range(MAX_SIDE_TAGS + 2)]
    assert one(tags="\x1f".join(names)) == one(tags="\x1f".join(names[:MAX_SIDE_TAGS]))
    assert one(tags="t0\x1ft1")[TAGS] == [one(tags="t0")[TAGS.start], one(tags="t1")[TAGS.start], 0, 0]


@pytest.mark.parametrize(("duration_ms", "row"), [(1, 1), (4_999, 1), (300_001, 20), (2_000_000_000, 20), (0, 0)])
def test_a_duration_has_the_row_of_its_bucket(duration_ms: int, row: int) -> None:
    assert one(duration_ms=duration_ms)[DURATION] == row


def test_longer_videos_never_have_an_earlier_row() -> None:
    lengths = np.unique(np.concatenate([DURATION_EDGES_MS - 1, DURATION_EDGES_MS, DURATION_EDGES_MS + 1]))
    rows = [one(duration_ms=int(length))[DURATION] for length in lengths]
    assert rows == sorted(rows)
    assert set(rows) == set(range(1, 21))


def test_a_missing_surface_has_row_zero() -> None:
    assert surface_row(None, LEAST_SIDE_ROWS) == surface_row("", LEAST_SIDE_ROWS) == 0

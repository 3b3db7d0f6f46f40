"""A history holds each of a user's latest positives once, the latest last, and newer ones continue it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import VersionCorrupt
from contract.histories import HISTORY_FILE, merged, open_histories, write_histories

rows = st.lists(st.integers(0, 9), max_size=12)


def merge(history: list[int], newer: list[int]) -> list[int]:
    result: list[int] = merged(np.array(history, np.int32), np.array(newer, np.int32)).tolist()
    return result


@pytest.mark.parametrize(
    ("history", "newer", "after"),
    [
        ([0, 0, 0], [], [0, 0, 0]),
        ([0, 0, 0], [5], [0, 0, 5]),
        ([0, 1, 2], [3], [1, 2, 3]),
        ([1, 2, 3], [4, 5], [3, 4, 5]),
        ([1, 2, 3], [4, 5, 6, 7], [5, 6, 7]),
        ([1, 2, 3], [1], [2, 3, 1]),
        ([0, 1, 2], [2, 2, 1], [0, 2, 1]),
        ([0, 1, 2], [0, 0], [0, 1, 2]),
        ([], [4], []),
    ],
)
def test_newer_positives_stand_last_and_the_oldest_fall_out(
    history: list[int], newer: list[int], after: list[int]
) -> None:
    assert merge(history, newer) == after


@given(st.integers(1, 6), rows, rows)
def test_merging_at_once_is_merging_one_by_one(length: int, first: list[int], second: list[int]) -> None:
    nothing = [0] * length
    one_by_one = nothing
    for item in [*first, *second]:
        one_by_one = merge(one_by_one, [item])
    assert merge(merge(nothing, first), second) == merge(nothing, [*first, *second]) == one_by_one


@given(st.integers(1, 6), rows)
def test_a_history_is_right_aligned_and_holds_no_item_twice(length: int, newer: list[int]) -> None:
    after = merge([0] * length, newer)
    kept = [item for item in after if item]
    assert after == [0] * (length - len(kept)) + kept
    assert len(set(kept)) == len(kept) == min(length, len({*newer} - {0}))


def test_histories_are_mapped_as_they_were_written(tmp_path: Path) -> None:
    table = np.array([[0, 0], [0, 3], [1, 2]], np.int32)
    write_histories(tmp_path, table)
    found = open_histories(tmp_path, length=2, users=3, items=4)
    assert found.tolist() == table.tolist()
    assert not found.flags.writeable


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        ([], "cannot be read"),
        ([0, 0, 0, 3, 1], "has 5 entries, 3 users with 2 each should have 6"),
        ([0, 0, 0, 4, 1, 2], "rows past 3, or below 0"),
        ([0, 0, 0, -1, 1, 2], "rows past 3, or below 0"),
        ([0, 1, 0, 3, 1, 2], "a history for row 0"),
    ],
)
def test_histories_that_would_mislead_are_refused(tmp_path: Path, content: list[int] | None, reason: str) -> None:
    if content is not None:
        np.array(content, "<i4").tofile(tmp_path / HISTORY_FILE)
    with pytest.raises(VersionCorrupt, match=reason):
        open_histories(tmp_path, length=2, users=3, items=4)

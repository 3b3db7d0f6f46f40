"""Tables are mapped as they were written, and a delta reads as a whole version of the same rows would."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import VersionCorrupt
from contract.hash_index import HashIndex
from contract.space import Space, SpaceShape, check_finite, open_space, write_space
from tests.strategies import keys_of

WIDTH = 3
Damage = Callable[[Path], object]


def index_of(rows: dict[int, int]) -> HashIndex:
    index = HashIndex.for_capacity(len(rows))
    index.add(keys_of(list(rows)), np.array(list(rows.values()), np.int32))
    return index


def numbers(rows: int, start: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Terms and vectors in which every number is another."""
    whole = start + np.arange(rows * (2 + WIDTH), dtype=np.float32).reshape(rows, 2 + WIDTH)
    return whole[:, :2], whole[:, 2:]


def written(directory: Path) -> SpaceShape:
    """A space of four ids in rows 1..4."""
    return write_space(directory, "users", *numbers(5), index_of({2: 1, 10: 2, 18: 3, 7: 4}))


def delta(directory: Path, base: Space) -> Space:
    """Row 2 has changed, row 3 went from id 18 to id 77, and id 26 came."""
    index = index_of({77: 2, 26: 3})
    changed = np.array([[0, 0], [2, 1], [3, 0]], np.int32)
    shape = write_space(directory, "users", *numbers(4, 1_000), index, changed)
    return open_space(directory, "users", shape, base)


def vectors_of(space: Space, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    found = space.take(rows)[1]
    assert found is not None
    return found


def vector(space: Space, row: int) -> npt.NDArray[np.float32]:
    """The vector of one row, which is the same alone and among others."""
    alone = space.row(int(row))[1]
    assert alone is not None
    assert np.array_equal(alone, vectors_of(space, np.array([row])))
    return np.asarray(alone[0])


def test_rows_are_taken_as_they_were_written(tmp_path: Path) -> None:
    space = open_space(tmp_path, "users", written(tmp_path))
    rows = space.find(keys_of([7, 18, 10, 2, 26]))
    assert rows.tolist() == [4, 3, 2, 1, space.unknown]
    terms, vectors = numbers(5)
    assert np.array_equal(space.take(rows)[0], terms[[4, 3, 2, 1, 0]])
    assert np.array_equal(vectors_of(space, rows), vectors[[4, 3, 2, 1, 0]])
    assert not space.terms.flags.writeable


def test_a_delta_gives_changed_rows_anew_and_leaves_the_others_to_its_base(tmp_path: Path) -> None:
    base = open_space(tmp_path, "users", written(tmp_path))
    (tmp_path / "delta").mkdir()
    space = delta(tmp_path / "delta", base)
    own, whole = numbers(4, 1_000)[1], numbers(5)[1]
    found = dict(zip([2, 10, 18, 7, 77, 26, 5], space.find(keys_of([2, 10, 18, 7, 77, 26, 5])), strict=True))
    expected = {2: whole[1], 10: own[1], 18: own[0], 7: whole[4], 77: own[2], 26: own[3], 5: own[0]}
    for key, row in found.items():
        assert np.array_equal(vector(space, row), expected[key]), key
    assert [key for key, row in found.items() if row == space.unknown] == [18, 5]
    assert base.find(keys_of([18])).tolist() == [3], "the base is as it was"


@given(st.data())
def test_a_delta_reads_as_the_whole_version_it_stands_for(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Ids keep, lose and change their rows at random; every id finds the vector that the later state gives it."""
    directory = tmp_path_factory.mktemp("space")
    rows = data.draw(st.integers(2, 12))
    before = dict(zip(data.draw(st.permutations(range(2, 30))), range(1, rows), strict=False))
    after = dict(before)
    for key in data.draw(st.lists(st.sampled_from(sorted(before)), unique=True)):
        del after[key]  # expired
    free = sorted(set(range(1, rows + 4)) - set(after.values()))
    for key, row in zip(data.draw(st.lists(st.integers(2, 29), unique=True)), free, strict=False):
        if key not in after:
            after[key] = row
    touched = data.draw(st.sets(st.sampled_from(sorted(before.values()))))
    terms, vectors = numbers(rows)
    later_vectors = np.concatenate([vectors, np.zeros((4, WIDTH), np.float32)])
    kept = sorted(row for key, row in before.items() if after.get(key) == row and row in touched)
    fresh = {key: row for key, row in after.items() if before.get(key) != row}
    lost = sorted(row for key, row in before.items() if after.get(key) != row)
    own_rows = [0, *kept, *fresh.values()]
    later_vectors[own_rows] = 500 + np.arange(len(own_rows) * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    base = open_space(directory, "items", write_space(directory, "items", terms, vectors, index_of(before)))
    changed = np.array(sorted([(0, 0), *((row, 1 + n) for n, row in enumerate(kept)), *((row, 0) for row in lost)]))
    index = index_of({key: 1 + len(kept) + n for n, key in enumerate(fresh)})
    (directory / "delta").mkdir()
    own = later_vectors[own_rows]
    shape = write_space(directory / "delta", "items", own[:, :2], own, index, changed.astype(np.int32))
    space = open_space(directory / "delta", "items", shape, base)
    keys = keys_of(list(range(2, 30)))
    found = space.find(keys)
    assert [space.find_one(key) for key in keys.tolist()] == found.tolist()
    for key, row in zip(keys.tolist(), found.tolist(), strict=True):
        assert (row == space.unknown) == (key not in after)
        assert np.array_equal(vector(space, row), later_vectors[after.get(key, 0)])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: (d / "users.keys.bin").unlink(), "users.keys.bin cannot be read"),
        (lambda d: (d / "users.keys.bin").write_bytes(b""), "users.keys.bin cannot be read"),
        (lambda d: (d / "users.keys.bin").write_bytes(b"x" * 63), "users.keys.bin cannot be read"),
        (lambda d: (d / "users.keys.bin").write_bytes(b"\0" * 128), "has 16 numbers, the manifest says 8"),
        (lambda d: (d / "users.rows.bin").write_bytes(b"\0" * 28 + b"\5\0\0\0"), "rows past 4, or below -1"),
        (lambda d: (d / "users.rows.bin").write_bytes(b"\0" * 28 + b"\xfe\xff\xff\xff"), "rows past 4, or below -1"),
        (lambda d: (d / "users.keys.bin").write_bytes(b"\2" * 64), "less than a quarter of its slots empty"),
        (lambda d: (d / "users.terms.bin").write_bytes(b"\0" * 36), "has 9 numbers, the manifest says 5 x 2"),
    ],
)
def test_a_space_that_could_hang_or_mislead_is_refused(tmp_path: Path, damage: Damage, reason: str) -> None:
    shape = written(tmp_path)
    damage(tmp_path)
    with pytest.raises(VersionCorrupt, match=reason):
        open_space(tmp_path, "users", shape)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ([[0, 0], [5, 1]], "should list rows 0..4 of the base"),
        ([[0, 0], [2, 1], [2, 1]], "rising, from row 0 on"),
        ([[1, 1]], "from row 0 on"),
        ([[0, 1]], "from row 0 on"),
        ([[0, 0], [2, 4]], "leads to rows past 3, or below 0"),
        ([[0, 0], [2, -1]], "leads to rows past 3, or below 0"),
    ],
)
def test_a_delta_that_leads_astray_is_refused(tmp_path: Path, changed: list[list[int]], reason: str) -> None:
    base = open_space(tmp_path, "users", written(tmp_path))
    shape = write_space(tmp_path, "users", *numbers(4), index_of({}), np.array(changed, np.int32))
    with pytest.raises(VersionCorrupt, match=reason):
        open_space(tmp_path, "users", shape, base)


def test_a_delta_of_another_width_than_its_base_is_refused(tmp_path: Path) -> None:
    base = open_space(tmp_path, "users", written(tmp_path))
    shape = write_space(tmp_path, "users", numbers(4)[0], None, index_of({}), np.zeros((1, 2), np.int32))
    with pytest.raises(VersionCorrupt, match="vectors of width 0, in the base they have 3"):
        open_space(tmp_path, "users", shape, base)


@pytest.mark.parametrize("name", ["terms", "vectors"])
def test_a_number_that_is_not_finite_is_found(tmp_path: Path, name: str) -> None:
    shape = written(tmp_path)
    check_finite(open_space(tmp_path, "users", shape), "users")
    table = np.fromfile(tmp_path / f"users.{name}.bin", "<f4")
    table[-1] = np.inf
    table.tofile(tmp_path / f"users.{name}.bin")
    with pytest.raises(VersionCorrupt, match=f"users.{name}.bin holds a number that is not finite"):
        check_finite(open_space(tmp_path, "users", shape), "users")

"""Rows of ids: what is promised after every batch, checked against a slow book-keeper in plain Python."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.hash_index import HashIndex
from contract.id_table import UNKNOWN_ROW, IdTable, rows_of
from tests.strategies import keys_of

CAPACITY = 4
UNIVERSE = [2 + n + (n << 40) for n in range(8)]  # as many as the waiting room has slots, one each
batches = st.lists(st.sampled_from(UNIVERSE), max_size=7)
programs = st.lists(batches, max_size=25)


@dataclass
class BookKeeper:
    """Follows a table over a universe of ids, and states after each batch what must hold."""

    table: IdTable
    universe: list[int] = field(default_factory=lambda: UNIVERSE)
    sightings: Counter[int] = field(default_factory=Counter)  # of ids that own no row
    last_seen: dict[int, int] = field(default_factory=dict)
    tick: int = 0

    def owners(self) -> dict[int, int]:
        rows = self.table.rows(keys_of(self.universe)).tolist()
        return {key: row for key, row in zip(self.universe, rows, strict=True) if row != UNKNOWN_ROW}

    def see(self, batch: list[int]) -> None:
        before, self.tick = self.owners(), self.tick + 1
        sighting = self.table.see(keys_of(batch), self.tick)
        after = self.owners()
        due = self.count(batch, before)
        admitted, expired = after.keys() - before.keys(), before.keys() - after.keys()

        assert sighting.rows.tolist() == [after.get(key, UNKNOWN_ROW) for key in batch]
        assert sorted(sighting.reassigned.tolist()) == sorted(after[key] for key in admitted)
        assert len(set(after.values())) == len(after) == self.table.known_ids <= self.table.capacity
        assert all(1 <= row < self.table.row_count <= self.table.capacity + 1 for row in after.values())
        assert all(after[key] == row for key, row in before.items() if key not in expired)
        assert not expired & set(batch)
        old = before.keys() - set(batch)
        assert admitted <= due
        assert len(admitted) == min(len(due), self.table.capacity - len(before) + len(old))
        needed = len(before) + len(due) - self.table.capacity
        assert len(expired) == (min(max(needed, self.table.capacity // 64), len(old)) if needed > 0 else 0)
        self.check_that_the_least_recently_seen_went(expired, (before.keys() - expired) - set(batch))
        self.last_seen |= dict.fromkeys([*admitted, *(before.keys() & set(batch))], self.tick)

    def count(self, batch: list[int], before: dict[int, int]) -> set[int]:
        """Count the strangers of a batch; return those that are due, who start anew."""
        self.sightings.update(key for key in batch if key not in before)
        due = {key for key, count in self.sightings.items() if count >= self.table.admit_after}
        for key in due:
            del self.sightings[key]
        return due

    def check_that_the_least_recently_seen_went(self, expired: set[int], stayed: set[int]) -> None:
        if expired and stayed:
            assert max(self.last_seen[key] for key in expired) <= min(self.last_seen[key] for key in stayed)


@given(programs, st.integers(1, 4))
def test_every_batch_leaves_what_is_promised(program: list[list[int]], admit_after: int) -> None:
    keeper = BookKeeper(IdTable(CAPACITY, admit_after))
    for batch in program:
        keeper.see(batch)


@given(programs, programs, programs, st.integers(1, 3))
def test_a_restored_table_goes_on_as_the_one_that_was_saved(
    before: list[list[int]], after: list[list[int]], other: list[list[int]], admit_after: int
) -> None:
    saved, taken_up = IdTable(CAPACITY, admit_after), IdTable(CAPACITY, admit_after)
    for table, program in ((saved, before), (taken_up, other)):  # restoring forgets what the other table held
        for tick, batch in enumerate(program):
            table.see(keys_of(batch), tick)
    taken_up.restore({name: array.copy() for name, array in saved.state().items()})
    for tick, batch in enumerate(after, start=len(before)):
        ours, theirs = saved.see(keys_of(batch), tick), taken_up.see(keys_of(batch), tick)
        assert ours.rows.tolist() == theirs.rows.tolist()
        assert ours.reassigned.tolist() == theirs.reassigned.tolist()
    for name, array in saved.state().items():
        assert taken_up.state()[name].tolist() == array.tolist(), name


@pytest.mark.parametrize("admit_after", [1, 2])
def test_a_larger_table_that_expires_in_bulk_keeps_the_promises_too(admit_after: int) -> None:
    """Rows are free for a while here; every few batches the table is saved and taken up again."""
    dice, keys = np.random.default_rng(0), np.arange(2, 1_026)
    keeper = BookKeeper(IdTable(capacity=512, admit_after=admit_after), universe=keys.tolist())
    for turn in range(120):
        keeper.see(dice.choice(keys, dice.integers(1, 40)).tolist())
        if turn % 5 == 0:
            taken_up = IdTable(capacity=512, admit_after=admit_after)
            taken_up.restore({name: array.copy() for name, array in keeper.table.state().items()})
            keeper.table = taken_up
    assert keeper.table.row_count == 513


def test_an_id_gets_its_row_at_its_third_sighting() -> None:
    table = IdTable(CAPACITY, admit_after=3)
    assert [table.see(keys_of([2]), tick).rows.tolist() for tick in range(4)] == [[0], [0], [1], [1]]
    assert table.see(keys_of([3, 4, 3, 3]), 4).rows.tolist() == [2, 0, 2, 2]


def test_looking_up_is_not_a_sighting() -> None:
    table = IdTable(CAPACITY, admit_after=2)
    assert [table.rows(keys_of([2])).tolist() for _ in range(5)] == [[0]] * 5
    assert table.see(keys_of([2]), 1).rows.tolist() == [0]


def test_an_id_that_lost_its_row_is_a_stranger_again() -> None:
    table = IdTable(capacity=1, admit_after=2)
    assert table.see(keys_of([2, 2]), 1).rows.tolist() == [1, 1]
    assert table.see(keys_of([3, 3]), 2).rows.tolist() == [1, 1]
    assert table.see(keys_of([2]), 3).rows.tolist() == [0]
    assert table.see(keys_of([2]), 4).reassigned.tolist() == [1]


def test_a_batch_wider_than_the_table_fills_it_and_leaves_the_rest_unknown() -> None:
    table = IdTable(capacity=4)
    rows = table.see(keys_of(list(range(2, 12))), 1).rows
    assert sorted(rows.tolist()) == [0, 0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert table.known_ids == 4


def test_expiry_works_in_bulk_so_that_its_cost_is_shared() -> None:
    table = IdTable(capacity=640)
    table.see(keys_of(list(range(2, 642))), 1)
    assert table.see(keys_of([10_000]), 2).reassigned.size == 1
    assert table.known_ids == 640 - 640 // 64 + 1
    assert table.see(keys_of(list(range(10_001, 10_010))), 3).reassigned.size == 9
    assert table.known_ids == 640


@pytest.mark.parametrize("admit_after", [1, 3])
def test_a_flood_of_random_ids_costs_no_memory_and_no_regular_its_row(admit_after: int) -> None:
    table, regulars, dice = IdTable(2_048, admit_after), keys_of(list(range(100, 300))), np.random.default_rng(0)
    for tick in range(3):
        table.see(regulars, tick)
    rows, sizes = table.rows(regulars), sizes_of(table)
    for tick in range(3, 103):
        flood = dice.integers(2, 2**64, 1_000, dtype=np.uint64)
        table.see(np.concatenate([regulars, flood]), tick)
    assert (rows > 0).all()
    assert table.rows(regulars).tolist() == rows.tolist()
    assert sizes_of(table) == sizes
    assert table.known_ids <= 2_048


def test_a_flood_that_never_repeats_is_not_admitted() -> None:
    table, dice = IdTable(2_048, admit_after=2), np.random.default_rng(0)
    for tick in range(100):
        table.see(np.unique(dice.integers(2, 2**64, 1_000, dtype=np.uint64)), tick)
    assert table.known_ids == 0


def test_the_service_finds_the_rows_the_trainer_gave() -> None:
    table = IdTable(CAPACITY)
    given_rows = table.see(keys_of([7, 8, 9]), 1).rows
    opened = HashIndex(table.index.keys.copy(), table.index.values.copy())
    assert rows_of(opened, keys_of([9, 8, 7, 1_000])).tolist() == [*given_rows[::-1].tolist(), UNKNOWN_ROW]


def sizes_of(table: IdTable) -> dict[str, int]:
    """Return the bytes of every array that a table and its index hold."""
    held = [*vars(table).items(), *vars(table.index).items()]
    return {name: value.nbytes for name, value in held if isinstance(value, np.ndarray)}

"""The latest neighbours of a row."""

import torch
from torch import Tensor

from models.neighbours import Neighbours


def rows(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


def liked(row: int, *neighbours: int, keep: int = 3) -> Neighbours:
    """Lists of 4 rows among 50 targets, in which one row has had these neighbours, one call each."""
    lists = Neighbours(4, 50, keep)
    for neighbour in neighbours:
        lists.add(rows(row), rows(neighbour))
    return lists


def test_neighbours_are_read_oldest_first_and_right_aligned() -> None:
    assert liked(2, 7, 8).of(rows(2)).tolist() == [[0, 7, 8]]


def test_the_newest_neighbour_takes_the_place_of_the_oldest() -> None:
    assert liked(2, 7, 8, 9, 10, 11).of(rows(2)).tolist() == [[9, 10, 11]]


def test_one_call_may_bring_many_rows_and_more_edges_than_a_row_keeps() -> None:
    lists = liked(2, 5)
    lists.add(rows(1, 2, 1, 2, 2, 2, 2, 3), rows(20, 10, 21, 11, 12, 13, 14, 30))
    assert lists.of(rows(1, 2, 3)).tolist() == [[0, 20, 21], [12, 13, 14], [0, 0, 30]]
    lists.add(rows(2), rows(15))  # the ring goes on where a long call left it
    assert lists.of(rows(2)).tolist() == [[13, 14, 15]]


def test_one_call_leaves_what_a_call_for_each_edge_leaves() -> None:
    random = torch.Generator().manual_seed(3)
    row = torch.randint(0, 4, (200,), generator=random)
    neighbour = torch.randint(0, 50, (200,), generator=random)
    once, singly = Neighbours(4, 50, 5), Neighbours(4, 50, 5)
    for part in range(0, 200, 40):
        once.add(row[part : part + 40], neighbour[part : part + 40])
    for edge in range(200):
        singly.add(row[edge : edge + 1], neighbour[edge : edge + 1])
    assert torch.equal(once.of(torch.arange(4)), singly.of(torch.arange(4)))
    assert (once.of(torch.arange(1, 4)) != 0).all()


def test_row_zero_has_no_neighbours_and_is_nobodys() -> None:
    lists = Neighbours(4, 50, 3)
    lists.add(rows(0, 2, 2), rows(7, 0, 8))
    lists.add(rows(0), rows(7))
    assert lists.of(rows(0, 2)).tolist() == [[0, 0, 0], [0, 0, 8]]


def test_rows_of_any_shape_are_read_in_their_places() -> None:
    lists = liked(2, 7, 8)
    found = lists.of(torch.tensor([[2, 1], [0, 2]]))
    assert found.shape == (2, 2, 3)
    assert found[1, 1].tolist() == [0, 7, 8]
    assert found.dtype == torch.int64


def test_a_row_with_a_new_owner_starts_with_an_empty_list() -> None:
    lists = liked(2, 7, 8, 9, 10)
    lists.add(rows(1), rows(6))
    lists.forget(rows(2))
    assert lists.of(rows(1, 2)).tolist() == [[0, 0, 6], [0, 0, 0]]
    lists.add(rows(2), rows(11))
    assert lists.of(rows(2)).tolist() == [[0, 0, 11]]


def test_edges_to_a_target_that_changed_owner_no_longer_count_and_later_ones_do() -> None:
    lists = liked(2, 7, 8, 9)
    lists.forget_target(rows(8))
    assert lists.of(rows(2)).tolist() == [[7, 0, 9]]
    lists.add(rows(2), rows(8))
    assert lists.of(rows(2)).tolist() == [[0, 9, 8]]


def test_a_state_carries_lists_and_what_was_forgotten() -> None:
    lists = liked(2, 7, 8, 9)
    lists.forget_target(rows(8))
    other = Neighbours(4, 50, 3)
    other.load_state_dict(lists.state_dict())
    for either in (lists, other):
        either.add(rows(2, 3), rows(8, 8))
        either.forget_target(rows(9))
    assert other.of(torch.arange(4)).tolist() == lists.of(torch.arange(4)).tolist()
    assert other.of(rows(2, 3)).tolist() == [[0, 0, 8], [0, 0, 8]]

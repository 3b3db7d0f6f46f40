"""Keys: equal for equal ids, spread over partitions, never a reserved value, bound to the user for events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import hashing
from contract.hashing import PARTITIONS, event_key, event_keys, id_key, id_keys, partitions_of
from tests.strategies import external_ids


@given(st.lists(external_ids))
def test_many_keys_are_the_keys_of_each(texts: list[str]) -> None:
    keys = id_keys(texts)
    assert keys.dtype == np.uint64
    assert keys.tolist() == [id_key(text) for text in texts]


@given(st.lists(st.tuples(external_ids, st.integers(2, 2**64 - 1))))
def test_many_event_keys_are_the_keys_of_each(events: list[tuple[str, int]]) -> None:
    ids, users = [one for one, _ in events], np.array([user for _, user in events], np.uint64)
    assert event_keys(ids, users).tolist() == [event_key(one, user) for one, user in events]


def test_users_spread_over_all_partitions() -> None:
    partitions = partitions_of(id_keys([f"user-{number}" for number in range(32_000)]))
    counts = np.bincount(partitions, minlength=PARTITIONS)
    assert len(counts) == PARTITIONS
    # Binomial(32000, 1/16): mean 2000, standard deviation 43; five of them.
    assert np.abs(counts - 2000).max() < 216


@given(st.integers(0, 2**64 - 1))
def test_every_key_has_a_partition(key: int) -> None:
    assert partitions_of(np.array([key], np.uint64)).tolist() == [key // 2**60]


def test_the_same_event_id_of_two_users_is_two_events() -> None:
    assert event_key("e1", id_key("u1")) != event_key("e1", id_key("u2"))
    assert event_key("e1", id_key("u1")) == event_key("e1", id_key("u1"))
    assert event_key("e1", id_key("u1")) != event_key("e2", id_key("u1"))


@pytest.mark.parametrize("digest", [0, 1, 2, 2**64 - 1])
def test_no_key_is_a_reserved_value(digest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "xxh3_64_intdigest", lambda _text, seed=0: digest)  # no text is known to hash to 0
    assert id_key("u1") == event_key("e1", 7) == int(id_keys(["u1"])[0])
    assert event_keys(["e1"], np.array([7], np.uint64)).tolist() == [id_key("u1")]
    assert 2 <= id_key("u1") < 2**64
    assert digest < 2 or id_key("u1") == digest


def test_keys_stay_what_they_are() -> None:
    """Keys are stored in logs, checkpoints and versions: XXH3-64 of UTF-8, the value xxHash publishes for no input."""
    assert id_key("") == 0x2D06800538D394C2

"""Ratings as events."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from contract.errors import DataError
from contract.events import ABSENT, Action
from contract.hashing import id_keys
from trainer.movielens import played_in_order, read_ratings, silent_events, with_words

REAL = Path("../shared/data/ml-1m/valid.rating.gz")


def test_a_rating_above_the_threshold_is_a_like_another_a_dislike_and_one_left_out_says_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.rating.gz"
    path.write_bytes(gzip.compress(b"4121\t2527\t3\n1181 914 5\n4510  165 1\n"))
    ratings = read_ratings(path)
    events = with_words(silent_events(ratings), ratings.rating > 2, np.array([True, False, True]))
    assert events.actions.tolist() == [Action.LIKE.bit, 0, Action.DISLIKE.bit]
    assert events.user_key.tolist() == id_keys(["4121", "1181", "4510"]).tolist()
    assert set(events.watch_ms.tolist()) == {ABSENT}


def test_time_follows_the_order_of_play_and_an_event_keeps_its_key(tmp_path: Path) -> None:
    path = tmp_path / "train.rating"
    path.write_text("1 2 3\n3 4 5\n")
    events = silent_events(read_ratings(path))
    played = played_in_order(events, np.array([1, 0, 1]))
    assert played.user_id.tolist() == ["3", "1", "3"]
    assert (np.diff(played.at_ms) > 0).all()
    assert played.event_key[0] == played.event_key[2] == events.event_key[1]


@pytest.mark.parametrize("text", ["1 2\n", "1 2 three\n", "1 2 -3\n", "1 2 3\n4 5\n"])
def test_what_is_not_three_whole_numbers_a_line_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.rating"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.rating"):
        read_ratings(path)


def test_a_missing_file_says_where_it_is_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"grouplens\.org"):
        read_ratings(tmp_path / "train.rating.gz")


@pytest.mark.skipif(not REAL.exists(), reason=f"MovieLens-1M is not at {REAL}; grouplens.org has it")
def test_the_real_file_is_read_whole() -> None:
    ratings = read_ratings(REAL)
    assert len(ratings) == 200_042
    assert set(np.unique(ratings.rating).tolist()) == {1, 2, 3, 4, 5}

"""Trust and breadth: who speaks at each turn tells little, and a no that few say settles nothing (P10)."""

import numpy as np
import numpy.typing as npt
import pytest

from models.counts import EXPLICIT, ITEM, Counts, Told
from models.trust import LEAST_TRUST, silence_share, trust_of

Bools = npt.NDArray[np.bool_]
USERS, ITEMS = 101, 3


def counted(user: npt.NDArray[np.int64], item: npt.NDArray[np.int64], said: Bools, dislike: Bools) -> Counts:
    """Count views, of which some are said to be liked or disliked."""
    counts, one = Counts(USERS, ITEMS, 1), np.ones(len(user))
    told = Told((said & ~dislike) * one, one, one * np.nan, said, said & dislike, one > 0)
    counts.read_and_count(user, item, np.zeros((len(user), 7), np.int32), told)
    return counts


@pytest.mark.parametrize(
    ("rate", "trust"), [(0.0, 1.0), (0.02, 1.0), (0.039, 1.0), (0.08, 0.25), (0.4, LEAST_TRUST), (1.0, LEAST_TRUST)]
)
def test_words_count_whole_up_to_twice_the_usual_rate_and_less_beyond(rate: float, trust: float) -> None:
    assert trust_of(rate * 1e6, 1e6, 2e4, 1e6) == pytest.approx(trust, rel=2e-2)


def test_the_most_that_a_user_can_tell_is_told_at_twice_the_usual_rate() -> None:
    told = [rate * trust_of(rate * 1e4, 1e4, 2e4, 1e6) for rate in np.linspace(0.001, 0.5, 500)]
    assert np.argmax(told) == pytest.approx(40, abs=1)  # a rate of .04


def test_where_all_speak_at_each_turn_all_count_whole() -> None:
    assert trust_of(5.0, 5.0, 1e6, 1e6) == trust_of(0.0, 0.0, 0.0, 0.0) == 1.0


def test_a_word_counts_whole_for_its_user_and_as_trusted_for_the_item() -> None:
    rng = np.random.default_rng(1)
    user, item = rng.integers(1, 101, 40_000), np.ones(40_000, np.int64)
    loud = user == 1
    item[loud] = 2
    said = np.where(loud, True, rng.random(40_000) < 0.02)
    counts = counted(user, item, said, ~said)
    assert counts.row_llr("users", np.array([1]), 0)[0, EXPLICIT] > 5.0
    words = counts.tables["items"][2, 4]
    assert words == pytest.approx(LEAST_TRUST * loud.sum(), rel=0.6)
    assert words < 0.15 * loud.sum()
    quiet = counts.tables["items"][1, 4]
    assert quiet == pytest.approx(said[~loud].sum(), rel=0.2)
    assert np.isfinite(counts.row_llr("items", np.array([1, 2]), ITEM)).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_silence_is_no_answer_only_where_the_no_is_broad(seed: int) -> None:
    rng = np.random.default_rng(seed)
    user, item = rng.integers(1, 101, 20_000), np.ones(20_000, np.int64)
    said = rng.random(20_000) < 0.05
    broad = counted(user, item, said, rng.random(20_000) < 0.2)
    few = counted(user, item, said, np.where(user <= 20, True, rng.random(20_000) < 0.01))
    assert broad.negative_share > 0.15
    assert few.negative_share > 0.15
    assert silence_share(broad.negative_share, broad.breadth) == 0.0
    assert silence_share(few.negative_share, few.breadth) == 1.0
    assert silence_share(0.01, broad.breadth) == 1.0


def test_a_state_from_before_there_was_breadth_is_taken_up() -> None:
    counts = Counts(USERS, ITEMS, 1)
    state = counts.state()
    del state["breadth"]
    counts.restore(state)
    assert silence_share(0.5, counts.breadth) == 1.0

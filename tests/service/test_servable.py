"""A loaded version answers what its equations say, from ids, features, histories and watches."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from contract.belief import relevance, sigmoid
from contract.events import Action, Events, FeedbackEvent
from contract.hashing import id_key, id_keys
from service.prior import PriorModel
from service.proof import open_version
from service.servable import Answer, LoadedVersion, Told
from tests.versions import CALIBRATION, ITEMS, Expected, side_of, write_version

RICH: dict[str, Any] = {"author_id": "a7", "tags": ["39", "7"], "duration_ms": 9_000}
TOLD = Told("a7", "39\x1f7", 9_000)
RICH_SIDE: dict[str, Any] = {"author": "a7", "tags": "39\x1f7", "duration_ms": 9_000}


def opened(directory: Path, history: int = 0) -> tuple[LoadedVersion, Expected]:
    expected = write_version(directory / "000001", history=history)
    return open_version(directory / "000001"), expected


def ask(version: LoadedVersion, user_id: str, item_ids: list[str], **told: Any) -> Answer:
    return version.answer(id_key(user_id), id_keys(item_ids), **told)


def parts_of(answer: Answer) -> npt.NDArray[np.float32]:
    parts = answer.parts()
    assert parts is not None
    return parts


def event(number: int = 0, **fields: object) -> FeedbackEvent:
    given = {"event_id": f"e{number}", "user_id": "u1", "item_id": "v1", "at": 1, "watch_ms": 4_200}
    return FeedbackEvent.model_validate(given | fields)


def test_scores_and_parts_equal_the_equations(tmp_path: Path) -> None:
    version, expected = opened(tmp_path)
    answer = ask(version, "u2", list(ITEMS))
    np.testing.assert_allclose(answer.score, [expected.score("u2", item) for item in ITEMS], atol=1e-6)
    np.testing.assert_allclose(parts_of(answer), np.array([expected.parts("u2", item) for item in ITEMS]), atol=1e-6)


def test_unknown_ids_score_as_row_zero_and_are_said_to_be_unknown(tmp_path: Path) -> None:
    version, expected = opened(tmp_path)
    answer = ask(version, "stranger", ["v1", "new"])
    np.testing.assert_allclose(answer.score, [expected.score("", "v1"), expected.score("", "")], atol=1e-6)
    assert (answer.known.tolist(), answer.known_user) == ([True, False], False)


def test_an_unknown_item_scores_from_its_features_and_a_known_one_does_not(tmp_path: Path) -> None:
    version, expected = opened(tmp_path)
    item_ids = ["v2", "v1", "new", "newer"]
    answer = ask(version, "u1", item_ids, surface="feed", told={1: TOLD, 3: TOLD})
    shown = side_of("feed")
    sides = [shown, shown, shown, side_of("feed", **RICH_SIDE)]
    wanted = [expected.parts("u1", item, side) for item, side in zip(item_ids, sides, strict=True)]
    np.testing.assert_allclose(parts_of(answer), np.array(wanted), atol=1e-6)
    assert answer.known.tolist() == [True, True, False, False]
    assert wanted[3][4] != wanted[2][4] != 0.0


def test_features_that_were_not_sent_count_as_nothing(tmp_path: Path) -> None:
    version, _ = opened(tmp_path)
    answer = ask(version, "u1", ["new", "new", "v1"], told={1: Told("", "", 0)})
    assert answer.score[0] == answer.score[1] != answer.score[2]


def test_newer_likes_continue_a_history_and_replace_one_of_a_stranger(tmp_path: Path) -> None:
    version, expected = opened(tmp_path, history=2)
    newer = id_keys(["v2", "unheard of", "v3"])
    for user, liked, keys in [("u1", ["v1"], newer[:0]), ("u1", ["v1", "v2"], newer[:2]), ("new", ["v2", "v3"], newer)]:
        answer = ask(version, user, list(ITEMS), newer=keys)
        np.testing.assert_allclose(answer.score, [expected.score(user, i, liked=liked) for i in ITEMS], atol=1e-6)


@pytest.mark.parametrize("history", [0, 3])
def test_beliefs_of_many_users_at_once_equal_the_equations(tmp_path: Path, history: int) -> None:
    version, expected = opened(tmp_path, history)
    events = Events.from_models(
        [
            event(0, surface="feed", duration_ms=9_000, author_id="a7"),
            event(1, user_id="u2", item_id="v3", watch_ms=20_000, duration_ms=9_000),
            event(2, user_id="stranger", item_id="new", surface="feed", **RICH),
            event(3, item_id="new", watch_ms=None, actions=[Action.LIKE], **RICH),
            event(4, user_id="u2", foreground=False),
        ]
    )
    sides = [side_of("feed"), side_of(), side_of("feed", **RICH_SIDE), side_of(**RICH_SIDE), side_of()]
    beliefs = version.believe(events)
    ids = zip(events.user_id, events.item_id, strict=True)
    pairs = [(0 if u == "stranger" else int(u[1:]), 0 if i == "new" else int(i[1:])) for u, i in ids]
    logit = np.array(
        [
            sum(expected.parts_of_rows(*pair, side, expected.history_of(pair[0])))
            for pair, side in zip(pairs, sides, strict=True)
        ]
    )
    watch = np.array([expected.watch(*pair) for pair in pairs])
    evidence = expected.belief.tables().read(events.watch_ms, events.duration_ms, events.foreground, events.surface)
    coefficients = np.array(expected.belief.coefficients)
    np.testing.assert_allclose(beliefs.relevance, relevance(coefficients, logit, watch, evidence.llr), atol=1e-6)
    np.testing.assert_allclose(beliefs.alone, sigmoid(CALIBRATION.scale * logit + CALIBRATION.offset), atol=1e-6)
    assert beliefs.known_user.tolist() == [True, True, False, True, True]
    assert beliefs.known_item.tolist() == [True, True, False, False, True]
    assert beliefs.threshold == CALIBRATION.threshold


def test_the_prior_believes_its_rate_and_has_nothing_on_record() -> None:
    beliefs = PriorModel(0.02).believe(Events.from_models([event(0), event(1, watch_ms=0, duration_ms=9_000)]))
    assert beliefs.relevance.tolist() == beliefs.alone.tolist() == [0.02, 0.02]
    assert not beliefs.on_record.any()
    assert not beliefs.evidence.llr.any()

"""The demo says why an item stands where it does: the strongest part first, in words that fit what is known."""

import pytest

from contract.api import Reasons
from winnow.demo_report import _why

NOTHING = Reasons(base=-4.0, user=0.0, item=0.0, match=0.0, context=0.0)


@pytest.mark.parametrize(
    ("parts", "known", "words"),
    [
        ({"item": 1.0, "user": -2.0}, True, "viewer seldom likes (-2.00), item liked more than most (+1.00)"),
        ({"match": 0.3, "context": -0.1}, True, "fits this viewer's taste (+0.30), shown where likes are rare (-0.10)"),
        ({"context": 0.4, "item": 9.0}, False, "new item of a kind liked more (+0.40)"),
        ({"context": 0.04}, True, "nothing sets it apart yet"),
        ({}, False, "new item: what holds for everyone"),
    ],
)
def test_the_parts_of_a_logit_are_said_in_words(parts: dict[str, float], known: bool, words: str) -> None:
    assert _why(NOTHING.model_copy(update=parts), known) == words


def test_without_reasons_nothing_is_said() -> None:
    assert _why(None, known=True) == ""

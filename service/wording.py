"""The words for what was watched and said: one wording for views just sent and for rows of the label log. Pure."""

from collections.abc import Sequence

NO_WATCH = "no watch was reported"
IN_BACKGROUND = "the video played in the background: its length says nothing"
FLAG_WORDS = {"swipe": "swiped away", "complete": "watched to the end", "loop": "watched more than once"}
BOTH = ": what is negative counts"


def words_said(actions: Sequence[str], both: bool) -> str:
    """Say which explicit actions came; `both` where one of them is positive and one negative."""
    names = " and ".join(name.replace("_", " ") for name in actions)
    return f"the viewer said {names}" + (BOTH if both else "")


def words_compared(quantile: float, known_length: bool) -> str:
    """Say how long a watch was among those it is compared with."""
    like = "of like length" if known_length else "of unknown length"
    return f"watched longer than {100 * quantile:.0f} % of views {like} on record"


def words_odds(times: float) -> str:
    """Say how much likelier than usual a positive word is after such a watch."""
    return f"odds of a positive word after such a watch: {times:.2g} times the usual"

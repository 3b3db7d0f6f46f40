"""How often one may come: token buckets by caller, and a count by user that forgets each minute (P7, P10).

A batch larger than a bucket is let in when the bucket is full and leaves it below zero: it is not refused for ever, but
paid for by a longer wait. Deciding takes the time as an argument.
"""

from collections.abc import Sequence

from starlette.exceptions import HTTPException

_USERS_COUNTED = 200_000  # about 30 MB; with more a minute the count starts anew
_WINDOW_S = 60.0


class Bucket:
    """`rate` tokens a second come in, up to one second's worth."""

    def __init__(self, rate: float) -> None:
        """Start full."""
        self.rate = rate
        self._level = self._most = max(rate, 1.0)
        self._since = 0.0

    def take(self, number: float, now: float) -> float:
        """Take `number` tokens and return 0.0, or take none and return the seconds until they are there."""
        level = min(self._most, self._level + (now - self._since) * self.rate)
        self._since = now
        needed = min(number, self._most)
        if level < needed:
            self._level = level
            return (needed - level) / self.rate
        self._level = level - number
        return 0.0


class UserCounts:
    """Events of each user in this minute. At most `_USERS_COUNTED` users are remembered."""

    def __init__(self, per_minute: int) -> None:
        """Let each user have `per_minute` events; 0 is no bound."""
        self._most = per_minute
        self._counts: dict[str, int] = {}
        self._began = 0.0

    def take(self, user_ids: Sequence[str], now: float) -> tuple[int, float] | None:
        """Count all events and return None, or none and return the place of one too many and the seconds to wait."""
        if not self._most:
            return None
        if now - self._began >= _WINDOW_S or len(self._counts) > _USERS_COUNTED:
            self._counts, self._began = {}, now
        new: dict[str, int] = {}
        for place, user_id in enumerate(user_ids):
            count = new.get(user_id)
            count = (self._counts.get(user_id, 0) if count is None else count) + 1
            if count > self._most:
                return place, self._began + _WINDOW_S - now
            new[user_id] = count
        self._counts |= new
        return None


def too_often(wait_s: float, what: str, setting: str) -> HTTPException:
    """Return the refusal of who comes too often: 429 with the whole seconds after which to come again."""
    seconds = max(1, -int(-wait_s // 1))
    return HTTPException(429, f"{what}; wait, or raise {setting}", {"retry-after": str(seconds)})

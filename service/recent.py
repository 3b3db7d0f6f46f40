"""What users said they like since the version in use was trained: it continues their histories, without a new version.

Only feedback that this very process acknowledged is known here, and only while a version that reads histories serves.
Positives that are missed (another process took them, a restart) are in the next version. Those of a user who was
forgotten stay in memory, unread once a version from after them serves, until others push them out or the process ends.
"""

from collections import OrderedDict

import numpy as np

from contract.events import NEGATIVE_ACTIONS, POSITIVE_ACTIONS, Events
from contract.hashing import Keys


class RecentPositives:
    """The latest positives of the latest users. To be used in one thread, the event loop's."""

    def __init__(self, max_users: int) -> None:
        """Keep at most `max_users` users: whoever said something positive longest ago goes first."""
        self._max_users = max_users
        self._liked: OrderedDict[int, dict[int, int]] = OrderedDict()  # user key -> item key -> time, oldest first

    def __len__(self) -> int:
        return len(self._liked)

    def note(self, events: Events, acknowledged_ms: int, per_user: int) -> None:
        """Remember the positives among events that were just acknowledged, at most `per_user` items a user."""
        positive = (events.actions & POSITIVE_ACTIONS != 0) & (events.actions & NEGATIVE_ACTIONS == 0)
        for user, item in zip(events.user_key[positive].tolist(), events.item_key[positive].tolist(), strict=True):
            liked = self._liked.setdefault(user, {})
            self._liked.move_to_end(user)
            liked.pop(item, None)  # an item stands where it was liked last
            liked[item] = acknowledged_ms
            while len(liked) > per_user:
                del liked[next(iter(liked))]
        while len(self._liked) > self._max_users:
            self._liked.popitem(last=False)

    def since(self, user_key: int, acknowledged_ms: int | None) -> Keys:
        """Return the items a user liked at or after a time of acknowledgement, oldest first. Shape [K]."""
        liked = self._liked.get(user_key)
        if liked is None or acknowledged_ms is None:
            return np.zeros(0, np.uint64)
        return np.array([item for item, at_ms in liked.items() if at_ms >= acknowledged_ms], np.uint64)

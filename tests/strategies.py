"""What Hypothesis may draw: ids, events, blocks and keys, over all that validation lets in."""

from datetime import timedelta, timezone

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from contract.blocks import encode_block
from contract.events import MAX_AT_MS, MAX_ID_CHARACTERS, MAX_MS, MAX_POSITION, MAX_TAGS, Action, Events, FeedbackEvent
from contract.hashing import RESERVED_KEYS, Keys

# A busy machine is no failure; pytest's own timeout catches what hangs.
settings.register_profile("winnow", deadline=None)
settings.load_profile("winnow")

# Any text without control characters and lone surrogates: emoji, right-to-left, combining marks, private use.
text_ids = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=MAX_ID_CHARACTERS)
external_ids = st.one_of(st.sampled_from(["u1", "v2", "émile", "视频", "🦊"]), text_ids)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))

_maybe_ms = st.none() | st.integers(0, MAX_MS)

feedback_events = st.builds(
    FeedbackEvent,
    event_id=external_ids,
    user_id=external_ids,
    item_id=external_ids,
    at=st.integers(0, MAX_AT_MS),
    watch_ms=st.integers(0, MAX_MS),
    duration_ms=_maybe_ms,
    actions=st.lists(st.sampled_from(list(Action)), max_size=len(Action)),
    surface=st.none() | external_ids,
    author_id=st.none() | external_ids,
    tags=st.lists(external_ids, max_size=MAX_TAGS),
    position=st.none() | st.integers(0, MAX_POSITION),
    foreground=st.none() | st.booleans(),
    impression_id=st.none() | external_ids,
)
events = st.lists(feedback_events, min_size=1, max_size=6).map(Events.from_models)
blocks = events.map(encode_block)


def keys_of(numbers: list[int]) -> Keys:
    """Return numbers as keys. Shape [N], uint64."""
    return np.array(numbers, np.uint64)


# Few distinct low bits, so that keys meet in the slots of an index.
crowded_keys = st.builds(lambda low, high: (high << 32) + low, st.integers(RESERVED_KEYS, 5), st.integers(0, 40))

"""Which explicit words the learner gets to see. Functions of the event's key and a seed: nothing is drawn.

What is measured is always measured against all words; only the learner is kept from some of them.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from contract.events import Events
from contract.hashing import Keys
from trainer.replay import hide_half

Mask = npt.NDArray[np.bool_]

_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def mixed(event_key: Keys, seed: int) -> Keys:
    """Return other keys, independent of the given ones and of those of any other seed (splitmix64). Shape [N]."""
    keys = event_key + np.uint64(_GOLDEN * (2 * seed + 1) % 2**64)  # wraps, as it should
    for shift, factor in _ROUNDS:
        keys = (keys ^ (keys >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(keys ^ (keys >> np.uint64(31)))


def kept(event_key: Keys, share: float, seed: int) -> Mask:
    """Return a share of the events; a smaller share of the same seed is part of a larger one. Shape [N]."""
    return np.asarray((mixed(event_key, seed) >> np.uint64(32)).astype(np.float64) < share * 2.0**32)


def hidden_half(events: Events, seed: int) -> Mask:
    """Return the half of the positives that the recovery test hides; each seed hides another half. Shape [N]."""
    return hide_half(replace(events, event_key=mixed(events.event_key, seed)))


def silenced(events: Events, silent: Mask) -> Events:
    """Return the events without the explicit words of some of them. Shape [N]."""
    return replace(events, actions=np.where(silent, 0, events.actions).astype(np.uint8))

"""What was said about an exposure: explicit actions to a label. Pure.

Explicit actions win over evidence; a negative action beats a positive one in the same event; everything else is
UNLABELLED and left to its evidence. Across events of one user and item the latest wins, because it is learned last.
"""

import numpy as np
import numpy.typing as npt

from contract.events import NEGATIVE_ACTIONS, POSITIVE_ACTIONS

POSITIVE = 1
NEGATIVE = 0
UNLABELLED = -1

LABEL_NAMES = {POSITIVE: "POSITIVE", NEGATIVE: "NEGATIVE", UNLABELLED: "UNLABELLED"}


def label_actions(actions: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """Return POSITIVE, NEGATIVE or UNLABELLED for each action mask. Shape [N] -> [N]."""
    labels = np.full(len(actions), UNLABELLED, np.int8)
    labels[(actions & POSITIVE_ACTIONS) != 0] = POSITIVE
    labels[(actions & NEGATIVE_ACTIONS) != 0] = NEGATIVE
    return labels

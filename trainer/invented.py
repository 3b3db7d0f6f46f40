"""Random negatives: for each exposure, its user with an item drawn at random. What the target `random` learns from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.hashing import Keys
from contract.side import SURFACE, SideRows
from contract.watch import NO_CELL
from models.counts import CountFeatures, Counts, Told
from models.readout import Prediction, Readout
from trainer.labels import NEGATIVE
from trainer.waiting import Held

RowNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Invented:
    """N pairs nobody was shown, read and counted as negatives but not yet learned by the readout."""

    held: Held
    features: CountFeatures
    predicted: Prediction

    def teach(self, readout: Readout) -> None:
        """Let the readout learn that they are negatives. The backbone is left out: it learns them from `held`."""
        count = len(self.held)
        readout.learn_explicit(
            self.features, np.zeros((count, 2)), self.predicted, w=np.zeros(count), weight=np.ones(count)
        )


def invent(
    counts: Counts,
    readout: Readout,
    users: tuple[Keys, RowNumbers],
    items: tuple[Keys, RowNumbers],
    surface: npt.NDArray[np.int32],
    item_side: SideRows,
) -> Invented:
    """Pair users with items, both as (keys, rows) [N]; `item_side` [N, 7] is what the items are."""
    count = len(surface)
    side = item_side.copy()
    side[:, SURFACE] = surface
    nothing, none, unseen = np.zeros(count), np.zeros(count, np.bool_), np.full(count, np.nan)
    told = Told(nothing, nothing + 1.0, unseen, none, none, ~none)
    features = counts.read_and_count(users[1], items[1], side, told)
    predicted = readout.predict(features, np.zeros((count, 2)))
    held = Held(
        users[0], items[0], side, np.full(count, NEGATIVE, np.int8), unseen, np.zeros((count, 2)),
        np.full(count, NO_CELL, np.int16), predicted.watch_counts, predicted.offset, np.ones(count),
    )  # fmt: skip
    return Invented(held, features, predicted)

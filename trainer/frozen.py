"""A frozen copy of the model: scores that must share one state, whatever is learned meanwhile."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from contract.side import SideRows
from models.backbone import Backbone, Batch, Rows
from models.counts import Counts
from models.readout import Prediction, Readout

RowNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frozen:
    """Counts, readout and backbone of one moment."""

    counts: Counts
    readout: Readout
    backbone: Backbone

    def predict(self, user: RowNumbers, item: RowNumbers, side: SideRows) -> Prediction:
        """Return what the model says of pairs by row; rows without an owner at the time are unknown.

        Shapes: [N], [N], [N, 7].
        """
        user = np.where(user < self.counts.rows["users"], user, 0)
        item = np.where(item < self.counts.rows["items"], item, 0)
        features = self.counts.read(user, item, side)
        return self.readout.predict(features, match_of(self.backbone, user, item, side))


def match_of(backbone: Backbone, user: RowNumbers, item: RowNumbers, side: SideRows) -> npt.NDArray[np.float64]:
    """Return what a backbone says of pairs by row, on whole tables. Shapes [N], [N], [N, 7] -> [N, 2]."""
    device = backbone.head.device
    rows = [torch.from_numpy(np.ascontiguousarray(part, np.int64)).to(device) for part in (user, item, side)]
    with torch.no_grad():
        match = backbone(backbone.expand(Batch(rows[0], rows[1], rows[2])))
        return np.asarray(match.to(torch.float64).cpu().numpy(), np.float64)


def freeze(
    counts: Counts, readout: Readout, backbone: Backbone, make: Callable[[Rows], Backbone], rows: Rows
) -> Frozen:
    """Copy the rows in use. `make` gives an empty backbone of that many rows."""
    small = make(rows).to(backbone.head.device)
    whole = backbone.state_dict()
    with torch.no_grad():
        for name, part in small.state_dict().items():
            part.copy_(whole[name][tuple(slice(size) for size in part.shape)])
    still = Counts(rows.users, rows.items, rows.sides)
    still.restore({name: part[: len(part)] for name, part in cut(counts.state(), rows).items()})
    return Frozen(still, copy.deepcopy(readout), small)


def cut(state: dict[str, npt.NDArray[np.generic]], rows: Rows) -> dict[str, npt.NDArray[np.generic]]:
    """Return a state of counts with its tables cut to the rows in use."""
    return {name: part[: rows[name.split(".")[0]]] if "." in name else part for name, part in state.items()}

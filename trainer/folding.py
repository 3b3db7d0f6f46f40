"""Folds the readout, the counts and the plain terms of a backbone into what serving reads: two numbers a row.

All but the interaction of user and item is linear, so each user, item and side feature has two numbers, what it adds to
the logit and what it adds to the watch logit, and the two heads of the backbone become one. An item's own side features
are added to its row; at serving `side` then brings in only the surface, and what an unseen item is.
"""

import numpy as np
import numpy.typing as npt
import torch

from contract.side import SideRows, kind_bounds
from contract.space import Table
from models.backbone import Backbone
from models.counts import AUTHOR, DURATION, EXPLICIT, ITEM, SURFACE, TAG, USER, WATCH, Counts
from models.readout import Readout

Floats = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.int64]

_CHUNK = 1 << 18  # rows folded at once, so that large tables cost little memory
_KINDS = {"duration": DURATION, "surface": SURFACE, "tag": TAG, "author": AUTHOR}


class Folding:
    """The model of one moment, ready to be read row by row; use it before the next step."""

    def __init__(self, counts: Counts, readout: Readout, backbone: Backbone, item_side: SideRows) -> None:
        """Take the coefficients of now. `item_side` [rows of items, 7] holds each item's own side features."""
        self._counts = counts
        self._mix = readout.mix()
        self._backbone = backbone
        self._item_side = item_side
        self._heads = torch.from_numpy(self._mix.heads).to(backbone.head)
        self.head = self._heads @ backbone.head
        """What the serving graph multiplies an interaction by. Shape [Z]."""
        mix = self._mix
        self.intercept = (
            float(counts.base()[EXPLICIT] + mix.base + mix.cascade * mix.watch_base),
            float(mix.watch_base),
        )

    def terms(self, space: str, rows: RowNumbers) -> Table:
        """Return the terms of rows of a space. Shape [R] -> [R, 2] float32."""
        fold = {"users": self._users, "items": self._items, "sides": self._sides}[space]
        found = np.empty((len(rows), 2), np.float32)
        for start in range(0, len(rows), _CHUNK):
            found[start : start + _CHUNK] = fold(rows[start : start + _CHUNK])
        return found

    def _users(self, rows: RowNumbers) -> Floats:
        return self._terms("users", rows, USER, self._plain("user_bias", rows))

    def _items(self, rows: RowNumbers) -> Floats:
        seen = self._mix.seen * self._counts.item_seen(rows)
        plain = self._plain("item_bias", rows) + seen
        return self._terms("items", rows, ITEM, plain) + self._described(rows)

    def _described(self, item: RowNumbers) -> Floats:
        """Return what items' own side features add. Shape [R, 2]."""
        own = self._item_side[item]  # [R, 7]
        if own.size >= self._counts.rows["sides"]:
            return np.asarray(self._sides(np.arange(self._counts.rows["sides"]))[own].sum(1))
        features, place = np.unique(own, return_inverse=True)
        return np.asarray(self._sides(features.astype(np.int64))[place.reshape(own.shape)].sum(1))

    def _sides(self, rows: RowNumbers) -> Floats:
        found = np.zeros((len(rows), 2))
        for kind, (first, end) in kind_bounds(self._counts.rows["sides"]).items():
            chosen = np.flatnonzero((rows >= first) & (rows < end))
            found[chosen] = self._terms("sides", rows[chosen], _KINDS[kind], self._plain("side", rows[chosen]))
        return found

    def _plain(self, name: str, rows: RowNumbers) -> Floats:
        """Return what a table of the backbone adds to the logit. Shape [R]."""
        table: torch.Tensor = getattr(self._backbone, name)
        chosen = table[torch.from_numpy(rows).to(table.device)]
        return np.asarray((chosen @ self._heads).to(torch.float64).cpu().numpy(), np.float64)

    def _terms(self, space: str, rows: RowNumbers, slot: int, plain: Floats) -> Floats:
        """Return what rows of a table add through one slot. Shape [R, 2]."""
        mix, llr = self._mix, self._counts.row_llr(space, rows, slot)  # [R, 3]
        watch = mix.watch_slots[slot] * llr[:, WATCH]
        return np.stack([mix.slots[slot] * llr[:, EXPLICIT] + mix.cascade * watch + plain, watch], 1)

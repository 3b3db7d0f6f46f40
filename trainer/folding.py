"""Folds the readout, the counts and the plain terms of a backbone into what serving reads: a few numbers a row.

All but the interaction of user and item is linear, so each user, item and side feature has two numbers, what it adds to
the logit and what it adds to the watch logit, and the two heads of the backbone become one. An item's own side features
are added to its row; `side` then brings in only the surface, and what an unseen item is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from contract.side import SideRows, kind_bounds
from models.backbone import Backbone, Rows
from models.counts import AUTHOR, DURATION, EXPLICIT, ITEM, SURFACE, TAG, USER, WATCH, Counts
from models.readout import Mix, Readout

Floats = npt.NDArray[np.float64]

_KINDS = {"duration": DURATION, "surface": SURFACE, "tag": TAG, "author": AUTHOR}


@dataclass(frozen=True)
class Folded:
    """Serving terms: column 0 adds to the logit, column 1 to the watch logit."""

    base: Floats  # [2]
    users: Floats  # [U, 2]
    items: Floats  # [I, 2]
    sides: Floats  # [F, 2]
    head: torch.Tensor  # [Z]


def fold(counts: Counts, readout: Readout, backbone: Backbone, item_side: SideRows, rows: Rows) -> Folded:
    """Return the serving terms of the rows in use. `item_side` [I, 7] holds each item's own side features."""
    mix = readout.mix()
    heads = torch.from_numpy(mix.heads).to(backbone.head)
    plain = {
        space: _floats(getattr(backbone, name)[: rows[space]] @ heads)
        for space, name in (("users", "user_bias"), ("items", "item_bias"), ("sides", "side"))
    }
    sides = np.zeros((rows.sides, 2))
    for kind, (first, end) in kind_bounds(rows.sides).items():
        part = slice(first, end)
        sides[part] = _terms(counts, mix, "sides", part, _KINDS[kind], plain["sides"][part])
    seen = mix.seen * counts.item_seen(slice(rows.items))
    items = _terms(counts, mix, "items", slice(rows.items), ITEM, plain["items"] + seen)
    return Folded(
        base=np.array([counts.base()[EXPLICIT] + mix.base + mix.cascade * mix.watch_base, mix.watch_base]),
        users=_terms(counts, mix, "users", slice(rows.users), USER, plain["users"]),
        items=items + sides[item_side[: rows.items]].sum(1),
        sides=sides,
        head=heads @ backbone.head,
    )


def _terms(counts: Counts, mix: Mix, space: str, rows: slice, slot: int, plain: Floats) -> Floats:
    """Return what rows of a table add through one slot. Shape [R, 2]."""
    llr = counts.row_llr(space, rows, slot)  # [R, 3]
    watch = mix.watch_slots[slot] * llr[:, WATCH]
    return np.stack([mix.slots[slot] * llr[:, EXPLICIT] + mix.cascade * watch + plain, watch], 1)


def _floats(tensor: torch.Tensor) -> Floats:
    return tensor.to(torch.float64).cpu().numpy()

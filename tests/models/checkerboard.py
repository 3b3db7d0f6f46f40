"""A world of which any backbone can learn the rule: even users like even items, odd users odd ones.

Of each user one liked item is withheld, and half of the disliked ones are never shown.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.backbone import EXPLICIT, Backbone, Batch, Parameters, Rows, Touched, logits, touch
from models.backbones import BACKBONES
from models.row_adagrad import RowAdagrad

ROWS = Rows(users=30, items=32, sides=12)
OWNED = 24  # rows 1..OWNED of users and items have an owner; the rest wait for one
SIDE_SLOTS, ITEM_SLOTS, DIM = 7, slice(1, 7), 8  # as in contract.side: the surface is the first slot
EXAMPLES = 96  # of a step


@dataclass
class Checkerboard:
    """What each user is shown, and what is kept from them. Tables [users, items] of bool; row 0 of either is empty."""

    liked: Tensor
    disliked: Tensor
    withheld: Tensor
    unseen: Tensor  # disliked and never shown


def checkerboard(seed: int = 7) -> Checkerboard:
    random = torch.Generator().manual_seed(seed)
    row = torch.arange(1, OWNED + 1)
    same = torch.zeros(OWNED + 1, OWNED + 1, dtype=torch.bool)
    same[1:, 1:] = row[:, None] % 2 == row % 2
    other = torch.zeros_like(same)
    other[1:, 1:] = ~same[1:, 1:]
    order = torch.rand(same.shape, generator=random)
    place = torch.where(same, order, 2.0).argsort(1).argsort(1)  # of an item among those the user likes
    other_place = torch.where(other, order, 2.0).argsort(1).argsort(1)
    withheld, unseen = same & (place == 0), other & (other_place < OWNED // 4)
    return Checkerboard(same & ~withheld, other & ~unseen, withheld, unseen)


def pairs(user: Tensor | list[int], item: Tensor | list[int]) -> Batch:
    """Pairs whose side features follow from their rows, some slots empty; none tells odd from even."""
    user, item = torch.as_tensor(user, dtype=torch.int64), torch.as_tensor(item, dtype=torch.int64)
    side = torch.zeros(len(item), SIDE_SLOTS, dtype=torch.int64)
    side[:, 0] = 9 + user % 3
    side[:, 1] = item % 5
    side[:, 3] = (item % 3) * 2
    return Batch(user, item, side)


def fresh(name: str, seed: int = 0, rows: Rows = ROWS) -> Backbone:
    """A backbone whose first rows have owners."""
    backbone, random = BACKBONES[name](rows, DIM), torch.Generator().manual_seed(seed)
    owned = torch.arange(1, OWNED + 1)
    backbone.start_rows("users", owned, random)
    backbone.start_rows("items", owned, random)
    backbone.describe_items(owned, pairs(owned, owned).side[:, ITEM_SLOTS])
    return backbone


def train(backbone: Backbone, steps: int, seed: int = 1) -> None:
    """Learn the checkerboard: as many liked pairs as disliked ones a step, cross-entropy on the explicit head."""
    board, random, optimizer = checkerboard(), torch.Generator().manual_seed(seed), RowAdagrad(backbone)
    liked, disliked = board.liked.nonzero(), board.disliked.nonzero()
    for _ in range(steps):
        positive = liked[torch.randint(len(liked), (EXAMPLES // 2,), generator=random)]
        negative = disliked[torch.randint(len(disliked), (EXAMPLES // 2,), generator=random)]
        user, item = torch.cat([positive, negative]).unbind(1)
        label = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
        train_step(backbone, optimizer, pairs(user, item), label)
        backbone.note_positives(*positive.unbind(1))


def lightly_trained(name: str) -> Backbone:
    """A backbone of one's own after a few steps: no weight is at its start, and there are neighbours."""
    backbone = fresh(name)
    backbone.load_state_dict(_after_a_few_steps(name))
    return backbone


@cache
def _after_a_few_steps(name: str) -> dict[str, Tensor]:
    backbone = fresh(name)
    train(backbone, 5)
    return backbone.state_dict()


def train_step(backbone: Backbone, optimizer: RowAdagrad, batch: Batch, label: Tensor) -> Touched:
    touched = touch(backbone, backbone.expand(batch))
    logit = logits(backbone, touched.parameters, touched.batch)[:, EXPLICIT]
    total = binary_cross_entropy_with_logits(logit, label, reduction="sum")
    optimizer.step(backbone, touched, gradients(total, touched))
    return touched


def gradients(total: Tensor, touched: Touched) -> Parameters:
    parts = torch.autograd.grad(total, list(touched.parameters.values()))
    return dict(zip(touched.parameters, parts, strict=True))


def score(backbone: Backbone, batch: Batch) -> Tensor:
    return backbone(backbone.expand(batch))  # type: ignore[no-any-return]

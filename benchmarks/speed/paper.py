"""The paper's methods at the level of models: GMF, rows already known, one step after another.

An epoch goes once over the training pairs in batches. A fifth of them is explicit, the rest unlabelled. The Inverse
Gradient step takes the unlabelled gradient, lets held-out explicit rows judge the three candidates, and applies both
parts, the unlabelled one in the chosen direction. It reuses the unlabelled gradient, which the learner's own step
computes again: what that costs is in the table of metas, where the whole learner is timed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.backbone import EXPLICIT, Batch, Parameters, Rows
from models.gmf import GMF, GMFConfig
from models.inverse_gradient import STEP_SIGN, judge
from models.row_adagrad import RowAdagrad
from models.step import begin
from models.targets import inverse_dual, loss

DIM = 32
BATCH = 8_192
EXPLICIT_SHARE = 0.2
JUDGES = BATCH // 8
META_RATE = 0.05


@dataclass(frozen=True)
class Pairs:
    """Training pairs by row, with what was said. Columns [N]."""

    user: Tensor
    item: Tensor
    label: Tensor  # float32, 0 or 1
    known: Tensor  # bool


def random_pairs(users: int, items: int, count: int, seed: int = 0) -> Pairs:
    """Return pairs drawn at random, items by a long tail."""
    random = np.random.default_rng(seed)
    item = 1 + (random.zipf(1.3, count) % items)
    return of_rows(1 + random.integers(0, users, count), item, random.random(count) < 0.6, seed)


def of_rows(user: np.ndarray, item: np.ndarray, label: np.ndarray, seed: int = 0) -> Pairs:
    """Return pairs given by row, in a seeded order, a fifth of them known."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(user))
    return Pairs(
        torch.from_numpy(user[order].astype(np.int64)),
        torch.from_numpy(item[order].astype(np.int64)),
        torch.from_numpy(label[order].astype(np.float32)),
        torch.from_numpy(random.random(len(user)) < EXPLICIT_SHARE),
    )


def epochs(pairs: Pairs, batch: int = BATCH) -> dict[str, Callable[[], int]]:
    """Return one function a method; each goes once over the pairs with a model of its own, and says how many."""
    rows = Rows(int(pairs.user.max()) + 1, int(pairs.item.max()) + 1, 1)

    def runner(method: str) -> Callable[[], int]:
        backbone = GMF(rows, GMFConfig(dim=DIM))
        random = torch.Generator().manual_seed(1)
        for space in ("users", "items"):
            backbone.start_rows(space, torch.arange(1, rows[space]), random)
        optimizer = RowAdagrad(backbone)
        held = slice(0, min(JUDGES, len(pairs.user) // 8)) if method == "ig" else slice(0, 0)

        def run() -> int:
            trained = 0
            for start in range(held.stop, len(pairs.user), batch):
                trained += step(backbone, optimizer, pairs, slice(start, start + batch), held, method)
            return trained

        return run

    return {method: runner(method) for method in ("plain", "idl", "ig")}


def step(backbone: GMF, optimizer: RowAdagrad, pairs: Pairs, part: slice, held: slice, method: str) -> int:
    """Train one batch; return how many examples it had. `held` are the judges, which no batch contains."""
    user, item, label = pairs.user[part], pairs.item[part], pairs.label[part]
    count = len(user)
    if method == "ig":
        user, item = torch.cat([user, pairs.user[held]]), torch.cat([item, pairs.item[held]])
    cut = begin(backbone, optimizer, Batch(user, item, user.new_zeros(len(user), 0)))
    y = cut.logits()[:count, EXPLICIT]
    w = label if method == "plain" else torch.where(pairs.known[part], label, inverse_dual(y))
    slope = torch.sigmoid(y) - w
    upstream = torch.zeros(len(user), 2)
    if method != "ig":
        upstream[:, EXPLICIT] = slope
        cut.apply(cut.gradients(upstream))
        return count
    unsaid = (~pairs.known[part]).to(slope.dtype)
    upstream[:count, EXPLICIT] = slope * unsaid
    pushed = cut.gradients(upstream)
    upstream[:count, EXPLICIT] = slope * (1.0 - unsaid)
    told = cut.gradients(upstream)
    said, weight = pairs.label[held], torch.ones(held.stop)

    def held_out_loss(parameters: Parameters) -> Tensor:
        return loss(cut.logits(parameters, slice(count, None))[:, EXPLICIT], said, weight) / len(said)

    rate = META_RATE / float(unsaid.sum())  # of a step along the mean gradient
    direction = judge(cut.parameters, pushed, held_out_loss, rate).direction
    for name, gradient in told.items():
        gradient.add_(pushed[name], alpha=-STEP_SIGN[direction])
    cut.apply(told)
    return count

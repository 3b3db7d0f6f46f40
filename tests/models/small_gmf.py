"""A GMF small enough to write its equations out, in float64, and an unlabelled batch with judges behind it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.backbone import EXPLICIT, Batch, Parameters, Rows
from models.gmf import GMF, GMFConfig
from models.row_adagrad import RowAdagrad
from models.step import AutogradStep
from tests.golden import reference

Floats = npt.NDArray[np.float64]

ROWS = Rows(users=6, items=7, sides=8)
UNLABELLED, JUDGING = 12, 8
REFERENCE_TABLES = ("user", "item", "head", "user_bias", "item_bias")


def small_gmf(seed: int = 0, dtype: torch.dtype = torch.float64) -> GMF:
    """No parameter is at its start."""
    backbone = GMF(ROWS, GMFConfig(dim=4)).to(dtype)
    random = torch.Generator().manual_seed(seed)
    for parameter in backbone.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64) * 0.8)
    backbone.side[0] = 0.0
    return backbone


@dataclass(frozen=True)
class Trial:
    """A batch, its first UNLABELLED pairs unlabelled and the rest judges; it touches every row, in order."""

    step: AutogradStep
    pairs: list[tuple[int, int]]
    said: Floats  # [J]
    weight: Floats  # [J]

    @classmethod
    def drawn(cls, seed: int) -> "Trial":
        rng = np.random.default_rng(seed)
        place = np.arange(UNLABELLED)
        user = np.concatenate([place % (ROWS.users - 1) + 1, rng.integers(0, ROWS.users, JUDGING)])
        item = np.concatenate([place % (ROWS.items - 1) + 1, rng.integers(0, ROWS.items, JUDGING)])
        batch = pairs_of(user, item)
        backbone = small_gmf(seed)
        step = AutogradStep(backbone, RowAdagrad(backbone), batch)
        said = (rng.random(JUDGING) < 0.5).astype(np.float64)
        said[:2] = 0.0, 1.0
        weight = np.where(rng.random(JUDGING) < 0.3, 10.0, 1.0)
        return cls(step, list(zip(user.tolist(), item.tolist(), strict=True)), said, weight)

    @property
    def unlabelled(self) -> list[tuple[int, int]]:
        return self.pairs[:UNLABELLED]

    @property
    def judges(self) -> reference.Judges:
        return reference.Judges(self.pairs[UNLABELLED:], self.said, self.weight)

    @property
    def theta(self) -> dict[str, Floats]:
        """The parameters as the reference takes them; copies."""
        return {name: self.step.parameters[name].detach().numpy().copy() for name in REFERENCE_TABLES}

    def padded(self, upstream: Floats, first: int = 0) -> Tensor:
        """The gradient in both heads' logits of the whole batch, given that in some of the explicit ones."""
        whole = torch.zeros(len(self.pairs), 2, dtype=torch.float64)
        whole[first : first + len(upstream), EXPLICIT] = torch.from_numpy(upstream)
        return whole

    def held_out_loss(self, parameters: Parameters) -> Tensor:
        """The judges' weighted mean cross-entropy, by torch, under some parameters."""
        return self._loss(self.step.logits(parameters))

    def logits_with_gradient(self) -> Tensor:
        """The logits of the batch, by plain autograd on the step's parameters."""
        theta = self.step.parameters
        user, item = (torch.tensor(column) for column in zip(*self.pairs, strict=True))
        products = (theta["user"][user] * theta["item"][item]) @ theta["head"].T
        return products + theta["user_bias"][user] + theta["item_bias"][item]

    def held_out_loss_with_gradient(self) -> Tensor:
        """The judges' loss at the step's own parameters."""
        return self._loss(self.logits_with_gradient())

    def _loss(self, logits: Tensor) -> Tensor:
        said, weight = torch.from_numpy(self.said), torch.from_numpy(self.weight)
        each = binary_cross_entropy_with_logits(logits[UNLABELLED:, EXPLICIT], said, reduction="none")
        return (weight * each).sum() / weight.sum()


def pairs_of(user: npt.NDArray[np.int64] | list[int], item: npt.NDArray[np.int64] | list[int]) -> Batch:
    """Pairs without side features."""
    users, items = (torch.as_tensor(column, dtype=torch.int64) for column in (user, item))
    return Batch(users, items, torch.zeros(len(user), 7, dtype=torch.int64))

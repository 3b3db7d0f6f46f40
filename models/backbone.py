"""What every backbone is: tables by row, a logit for each (user, item) pair, and a graph that serves them.

A batch touches few rows, so learning never handles a whole table: `touch` gathers the rows of a batch into a small
model of its own, in which losses, gradients and trial steps are plain autograd. The same `forward` runs on the whole
tables and on the touched ones.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

Parameters = dict[str, Tensor]


class Backbone(nn.Module, ABC):
    """A network that gives a logit. Parameters named in `user_tables` or `item_tables` have one row an id."""

    user_tables: ClassVar[tuple[str, ...]]
    item_tables: ClassVar[tuple[str, ...]]
    serving_graph: ClassVar[str]
    """ONNX text that computes `logit` [N] and `parts` [N, 4] from `user`, `item` and the serving tables."""

    @abstractmethod
    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the logit of each pair. Shapes: user [B] and item [B] rows, int64; returns [B] float32."""

    @abstractmethod
    def start_rows(self, side: str, rows: Tensor, generator: torch.Generator) -> None:
        """Give rows a new owner: `side` is "users" or "items", rows [R]."""

    @abstractmethod
    def serving_tables(self, user_count: int, item_count: int) -> Parameters:
        """Return what `serving_graph` reads, for the first rows of each side; linear maps are folded in."""

    @abstractmethod
    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""

    def tables(self, side: str) -> tuple[str, ...]:
        """Return the names of one side's tables."""
        return self.user_tables if side == "users" else self.item_tables


@dataclass(frozen=True)
class Touched:
    """The part of a backbone that one batch reads."""

    user_rows: Tensor  # [U] distinct rows, sorted
    item_rows: Tensor  # [I]
    parameters: Parameters  # tables cut to those rows, dense parameters whole; leaves that require gradients
    user: Tensor  # [B] the batch in positions of user_rows
    item: Tensor  # [B]

    def rows_of(self, backbone: Backbone, name: str) -> Tensor | None:
        """Return which rows of a table were touched, None for a dense parameter."""
        if name in backbone.user_tables:
            return self.user_rows
        return self.item_rows if name in backbone.item_tables else None


def touch(backbone: Backbone, user: Tensor, item: Tensor) -> Touched:
    """Gather the rows of a batch. Shapes: user [B], item [B]; the cost depends on the batch, not on the tables."""
    user_rows, user_local = torch.unique(user, return_inverse=True)
    item_rows, item_local = torch.unique(item, return_inverse=True)
    parameters: Parameters = {}
    for name, parameter in backbone.named_parameters():
        whole = parameter.detach()
        if name in backbone.user_tables:
            local = whole[user_rows]
        elif name in backbone.item_tables:
            local = whole[item_rows]
        else:
            local = whole.clone()
        parameters[name] = local.requires_grad_()
    return Touched(user_rows, item_rows, parameters, user_local, item_local)


def logits(backbone: Backbone, parameters: Parameters, user: Tensor, item: Tensor) -> Tensor:
    """Return the logits of pairs given in positions of touched parameters. Shapes [B] -> [B]."""
    result: Tensor = functional_call(backbone, parameters, (user, item))
    return result

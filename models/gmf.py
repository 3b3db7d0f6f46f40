"""Generalized matrix factorization: the two vectors, multiplied place by place.

    interact(u, i) = user[u] * item[i]     so that     match = sum_d head[d] user[u, d] item[i, d] + biases + side

Source: He et al., "Neural Collaborative Filtering", WWW 2017, section 3.2; biases and side features are ours.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.backbone import Backbone, Batch, Parameters, Rows, RowWise, draw, look_up, table

DOT_GRAPH = """
        products = Mul (user, item)
        match = ReduceSum <keepdims = 0> (products, axis_1)
"""
"""Serves every backbone whose finished vectors meet in a dot product."""
DOT_WEIGHTS = {"axis_1": torch.tensor([1])}


@dataclass(frozen=True)
class GMFConfig:
    """Sizes and rates."""

    dim: int = 16
    init_std: float = 0.05
    embedding_rate: float = 0.1
    bias_rate: float = 0.05
    dense_rate: float = 0.01


class GMF(RowWise):
    """Tables are zero until `start_rows` gives a row its owner; row 0 (unknown) starts at zero and learns."""

    spaces: ClassVar[dict[str, str]] = {**Backbone.spaces, "user": "users", "item": "items"}
    serving_graph: ClassVar[str] = DOT_GRAPH

    def __init__(self, rows: Rows, config: GMFConfig) -> None:
        """Make tables of the given numbers of rows."""
        super().__init__(rows, config.dim, config.init_std)
        self.config = config
        self.user = table(rows.users, config.dim)
        self.item = table(rows.items, config.dim)

    def interact(self, batch: Batch) -> Tensor:
        """Return user * item. Shape [B, D]."""
        return look_up(self.user, batch.user) * look_up(self.item, batch.item)

    def start_vectors(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Draw new owners' vectors from N(0, init_std^2)."""
        if space != "sides":
            draw(self.user if space == "users" else self.item, rows, self.init_std, generator)

    def served_rows(self, space: str, rows: Tensor | slice, head: Tensor) -> Tensor:
        """Return vectors, of items with the head folded in. Shape [R, D]."""
        return self.user[rows] if space == "users" else self.item[rows] * head

    def served_weights(self, head: Tensor) -> Parameters:
        """Return the axis that the products are summed along."""
        return dict(DOT_WEIGHTS)

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        return {
            "user": config.embedding_rate,
            "item": config.embedding_rate,
            "head": config.dense_rate,
            **dict.fromkeys(("user_bias", "item_bias", "side"), config.bias_rate),
        }

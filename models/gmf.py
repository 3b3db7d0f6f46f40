"""Generalized matrix factorization with user and item bias.

    logit = bias + user_bias[u] + item_bias[i] + sum_d weight[d] * user[u, d] * item[i, d]

Source: He et al., "Neural Collaborative Filtering", WWW 2017, section 3.2; the biases are ours.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.backbone import Backbone, Parameters


@dataclass(frozen=True)
class GMFConfig:
    """Sizes and rates.

    The rates were picked from about 20 settings on the KuaiRand log, with 28-30 April in view, then lowered because
    faster ones overshot on a small dense stream. They are a starting point, not a tuned result.
    """

    dim: int = 16
    init_std: float = 0.05
    embedding_rate: float = 0.1
    bias_rate: float = 0.5
    dense_rate: float = 0.01
    prior_logit: float = -4.0


class GMF(Backbone):
    """Tables are zero until `start_rows` gives a row its owner; row 0 (unknown) starts at zero and learns."""

    user_tables: ClassVar[tuple[str, ...]] = ("user", "user_bias")
    item_tables: ClassVar[tuple[str, ...]] = ("item", "item_bias")
    serving_graph: ClassVar[str] = """
        u = Gather <axis = 0> (user_table, user)
        v = Gather <axis = 0> (item_table, item)
        u_vector, u_bias = Split <axis = 1> (u, widths)
        v_vector, v_bias = Split <axis = 1> (v, widths)
        products = Mul (u_vector, v_vector)
        match = ReduceSum <keepdims = 1> (products, axis_1)
        shape = Shape (match)
        base_part = Expand (base, shape)
        user_part = Expand (u_bias, shape)
        parts = Concat <axis = 1> (base_part, user_part, v_bias, match)
        logit = ReduceSum <keepdims = 0> (parts, axis_1)
    """

    def __init__(self, user_rows: int, item_rows: int, config: GMFConfig) -> None:
        """Make tables of the given numbers of rows, row 0 included."""
        super().__init__()
        self.config = config
        self.user = nn.Parameter(torch.zeros(user_rows, config.dim), requires_grad=False)
        self.item = nn.Parameter(torch.zeros(item_rows, config.dim), requires_grad=False)
        self.user_bias = nn.Parameter(torch.zeros(user_rows, 1), requires_grad=False)
        self.item_bias = nn.Parameter(torch.zeros(item_rows, 1), requires_grad=False)
        self.weight = nn.Parameter(torch.ones(config.dim), requires_grad=False)
        self.bias = nn.Parameter(torch.tensor([config.prior_logit]), requires_grad=False)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Return the logit of each pair. Shapes [B], [B] -> [B]."""
        match = (self.user[user] * self.item[item]) @ self.weight  # [B, D] @ [D] -> [B]
        return self.bias + self.user_bias[user, 0] + self.item_bias[item, 0] + match

    def start_rows(self, side: str, rows: Tensor, generator: torch.Generator) -> None:
        """Draw new owners' vectors from N(0, init_std^2) and set their bias to 0."""
        vectors, bias = (self.user, self.user_bias) if side == "users" else (self.item, self.item_bias)
        fresh = torch.randn(len(rows), self.config.dim, generator=generator) * self.config.init_std
        vectors[rows] = fresh.to(vectors)
        bias[rows] = 0.0

    def serving_tables(self, user_count: int, item_count: int) -> Parameters:
        """Return user_table [U, D+1] = (vector, bias) and item_table [I, D+1], the output weights folded in."""
        return {
            "user_table": torch.cat([self.user[:user_count], self.user_bias[:user_count]], 1),
            "item_table": torch.cat([self.item[:item_count] * self.weight, self.item_bias[:item_count]], 1),
            "base": self.bias.reshape(1, 1),
            "widths": torch.tensor([self.config.dim, 1]),
            "axis_1": torch.tensor([1]),
        }

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        return {
            "user": config.embedding_rate,
            "item": config.embedding_rate,
            "user_bias": config.bias_rate,
            "item_bias": config.bias_rate,
            "weight": config.dense_rate,
            "bias": config.dense_rate,
        }

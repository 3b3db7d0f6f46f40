"""Neural matrix factorization: a product of vectors beside a small network that reads another pair of vectors.

    interact(u, i) = [ user[u] * item[i] ;  relu(W2 relu(W1 [user_mlp[u] ; item_mlp[i]] + b1) + b2) ]

W1 is linear in each side of a pair, W1 [p ; q] = W_u p + W_v q, so a version carries W_u p and W_v q + b1 in place of
the vectors, and serving starts at the first relu.

Source: He et al., "Neural Collaborative Filtering", WWW 2017, sections 3.3 and 3.4 (NeuMF, the two parts with vectors
of their own; trained from the start together, without the paper's pre-training, which a stream has no time for).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.backbone import Backbone, Batch, Parameters, Rows, RowWise, draw, look_up, table

_SEED = 2017  # of the dense layers: every NeuMF of one size starts with the same


@dataclass(frozen=True)
class NeuMFConfig:
    """Sizes and rates."""

    dim: int = 16  # of each of the four vectors
    hidden: tuple[int, int] = (32, 16)
    init_std: float = 0.05
    embedding_rate: float = 0.1
    bias_rate: float = 0.05
    dense_rate: float = 0.01


class NeuMF(RowWise):
    """Tables are zero until `start_rows` gives a row its owner; row 0 (unknown) starts at zero and learns."""

    spaces: ClassVar[dict[str, str]] = {
        **Backbone.spaces,
        "user": "users",
        "item": "items",
        "user_mlp": "users",
        "item_mlp": "items",
    }
    serving_graph: ClassVar[str] = """
        u_product, u_first = Split <axis = 1> (user, widths)
        v_product, v_first = Split <axis = 1> (item, widths)
        products = Mul (u_product, v_product)
        product_match = ReduceSum <keepdims = 1> (products, axis_1)
        first_sum = Add (u_first, v_first)
        first = Relu (first_sum)
        second_sum = Gemm (first, second_weight, second_bias)
        second = Relu (second_sum)
        second_match = MatMul (second, second_head)
        both = Add (product_match, second_match)
        match = Squeeze (both, axis_1)
"""

    def __init__(self, rows: Rows, config: NeuMFConfig) -> None:
        """Make tables of the given numbers of rows, and the layers."""
        first, second = config.hidden
        super().__init__(rows, config.dim + second, config.init_std)
        self.config = config
        self.user = table(rows.users, config.dim)
        self.item = table(rows.items, config.dim)
        self.user_mlp = table(rows.users, config.dim)
        self.item_mlp = table(rows.items, config.dim)
        generator = torch.Generator().manual_seed(_SEED)
        self.first_weight = _layer(2 * config.dim, first, generator)
        self.first_bias = nn.Parameter(torch.zeros(first), requires_grad=False)
        self.second_weight = _layer(first, second, generator)
        self.second_bias = nn.Parameter(torch.zeros(second), requires_grad=False)

    def interact(self, batch: Batch) -> Tensor:
        """Return the product beside the last layer. Shape [B, D + H2]."""
        product = look_up(self.user, batch.user) * look_up(self.item, batch.item)  # [B, D]
        pair = torch.cat([look_up(self.user_mlp, batch.user), look_up(self.item_mlp, batch.item)], 1)  # [B, 2D]
        first = torch.relu(pair @ self.first_weight + self.first_bias)  # [B, H1]
        second = torch.relu(first @ self.second_weight + self.second_bias)  # [B, H2]
        return torch.cat([product, second], 1)

    def start_vectors(self, space: str, rows: Tensor, generator: torch.Generator) -> None:
        """Draw new owners' vectors from N(0, init_std^2)."""
        if space == "sides":
            return
        for vectors in (self.user, self.user_mlp) if space == "users" else (self.item, self.item_mlp):
            draw(vectors, rows, self.init_std, generator)

    def served_rows(self, space: str, rows: Tensor | slice, head: Tensor) -> Tensor:
        """Return [vector; its part of the first layer], of items with head and bias folded in. Shape [R, D + H1]."""
        dim = self.config.dim
        of_user, of_item = self.first_weight[:dim], self.first_weight[dim:]  # [D, H1]
        if space == "users":
            return torch.cat([self.user[rows], self.user_mlp[rows] @ of_user], 1)
        return torch.cat([self.item[rows] * head[:dim], self.item_mlp[rows] @ of_item + self.first_bias], 1)

    def served_weights(self, head: Tensor) -> Parameters:
        """Return the second layer, with the head behind it."""
        dim, hidden = self.config.dim, self.config.hidden
        return {
            "second_weight": self.second_weight,
            "second_bias": self.second_bias,
            "second_head": head[dim:, None],
            "widths": torch.tensor([dim, hidden[0]]),
            "axis_1": torch.tensor([1]),
        }

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        dense = ("head", "first_weight", "first_bias", "second_weight", "second_bias")
        return {
            **dict.fromkeys(("user", "item", "user_mlp", "item_mlp"), config.embedding_rate),
            **dict.fromkeys(dense, config.dense_rate),
            **dict.fromkeys(("user_bias", "item_bias", "side"), config.bias_rate),
        }


def _layer(width_in: int, width_out: int, generator: torch.Generator) -> nn.Parameter:
    """Return weights for x @ W before a relu, of variance 2 / width_in (He et al., ICCV 2015). Shape [in, out]."""
    drawn = torch.randn(width_in, width_out, generator=generator) * (2 / width_in) ** 0.5
    return nn.Parameter(drawn, requires_grad=False)

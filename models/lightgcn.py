"""LightGCN: vectors smoothed over the user-item graph, without weights or nonlinearity of their own.

    e_u^(l+1) = sum_{i in N_u} e_i^(l) / sqrt(|N_u| |N_i|)      e_i^(l+1) = sum_{u in N_i} e_u^(l) / sqrt(|N_i| |N_u|)
    e = 1 / (L + 1) sum_l e^(l)                                 interact(u, i) = e_u * e_i

Vectors start close to zero, so a user who was never trained on, but liked something, stands where the liked items put
them: one-hop fold-in, e_u ~ (e_u^(1) + ...) / (L + 1); an item likewise.
Source: He et al., "LightGCN", SIGIR 2020, equations 3 and 4. Neighbourhoods are the latest K edges of a row (see
models/graph.py); head, biases and side features are ours. The heads start at (L + 1)^2, which undoes the scale of the
mean: the products of vectors that are still small are otherwise too small to learn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.backbone import Rows
from models.graph import Propagation


@dataclass(frozen=True)
class LightGCNConfig:
    """Sizes and rates."""

    dim: int = 16
    layers: int = 2
    keep: int = 8
    """Neighbours a row keeps, K: a batch of B pairs reads 2 B (1 + K + K^2) vectors."""
    init_std: float = 0.01
    """Small beside a trained vector (some 0.3 a place), for fold-in, and large enough to start from."""
    embedding_rate: float = 0.1
    bias_rate: float = 0.05
    dense_rate: float = 0.01


class LightGCN(Propagation):
    """Tables are zero until `start_rows` gives a row its owner; row 0 (unknown) has no neighbours."""

    def __init__(self, rows: Rows, config: LightGCNConfig) -> None:
        """Make tables of the given numbers of rows, and a graph without edges."""
        super().__init__(rows, config.dim, config.dim, config.layers, config.keep, config.init_std)
        self.config = config
        self.head.fill_(float((config.layers + 1) ** 2))

    def layer(self, depth: int, own: Tensor, near: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sum of the neighbours; a row's own vector comes back in `combine`."""
        return torch.einsum("...k,...kd->...d", weight, near)

    def combine(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return the mean of the layers. Shape [..., D]."""
        return sum(vectors[1:], start=vectors[0]) / len(vectors)

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        return {
            "user": config.embedding_rate,
            "item": config.embedding_rate,
            "head": config.dense_rate,
            **dict.fromkeys(("user_bias", "item_bias", "side"), config.bias_rate),
        }

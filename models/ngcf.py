"""Neural graph collaborative filtering: messages that also carry how well the two ends agree.

    e_u^(l+1) = LeakyReLU(W1 e_u^(l) + sum_{i in N_u} (W1 e_i^(l) + W2 (e_i^(l) * e_u^(l))) / sqrt(|N_u| |N_i|))
    e = e^(0) || ... || e^(L)                                   interact(u, i) = e_u * e_i

W1 and W2 are linear and the own vector is common to all edges, so a layer needs the weighted sum s of the neighbours
only: LeakyReLU(W1 (e_u + s) + W2 (s * e_u)).
Source: Wang et al., "Neural Graph Collaborative Filtering", SIGIR 2019, equations 3 to 5 and 9. Without message and
node dropout; neighbourhoods are the latest K edges of a row (see models/graph.py); head, biases and side are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from models.backbone import Rows
from models.graph import Propagation

SLOPE = 0.2  # of LeakyReLU below zero; the paper does not say


@dataclass(frozen=True)
class NGCFConfig:
    """Sizes and rates."""

    dim: int = 16
    layers: int = 2
    keep: int = 8
    init_std: float = 0.05
    embedding_rate: float = 0.1
    bias_rate: float = 0.05
    dense_rate: float = 0.01
    weight_seed: int = 2019
    """Seed of the dense weights: they are part of the design, not of a run."""


class NGCF(Propagation):
    """Finished vectors are L + 1 times as wide as the tables."""

    def __init__(self, rows: Rows, config: NGCFConfig) -> None:
        """Make tables of the given numbers of rows, a graph without edges, and the weights of each layer."""
        width = config.dim * (config.layers + 1)
        super().__init__(rows, config.dim, width, config.layers, config.keep, config.init_std)
        self.config = config
        generator = torch.Generator().manual_seed(config.weight_seed)
        shape = (config.layers, config.dim, config.dim)
        self.sum_map = xavier(shape, generator)  # W1 of each layer
        self.product_map = xavier(shape, generator)  # W2

    def layer(self, depth: int, own: Tensor, near: Tensor, weight: Tensor) -> Tensor:
        """Return LeakyReLU(W1 (own + s) + W2 (s * own)) with s the weighted sum of the neighbours."""
        total = torch.einsum("...k,...kd->...d", weight, near)
        linear = (own + total) @ self.sum_map[depth].T + (total * own) @ self.product_map[depth].T
        return leaky_relu(linear, SLOPE)

    def combine(self, vectors: Sequence[Tensor]) -> Tensor:
        """Return the layers side by side. Shape [..., D (L + 1)]."""
        return torch.cat(list(vectors), -1)

    def rates(self) -> dict[str, float]:
        """Return the learning rate of each parameter."""
        config = self.config
        return {
            "user": config.embedding_rate,
            "item": config.embedding_rate,
            **dict.fromkeys(("head", "sum_map", "product_map"), config.dense_rate),
            **dict.fromkeys(("user_bias", "item_bias", "side"), config.bias_rate),
        }


def xavier(shape: tuple[int, ...], generator: torch.Generator) -> nn.Parameter:
    """Return weights [..., out, in] drawn uniformly within +-sqrt(6 / (in + out)) (Glorot and Bengio, 2010)."""
    bound = (6.0 / (shape[-1] + shape[-2])) ** 0.5
    return nn.Parameter((2.0 * torch.rand(shape, generator=generator) - 1.0) * bound, requires_grad=False)

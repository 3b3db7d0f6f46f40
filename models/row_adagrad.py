"""Adagrad on touched rows, one accumulator a row.

    s_r += mean_d(g_rd^2);   theta_r -= rate * g_r / sqrt(s_r),   s starts at `start`

g is the sum over the examples of a batch that touch the row, plus the L2 pull. Dense parameters use plain Adagrad.
Source: Duchi et al., JMLR 2011; the row-wise form as in Naumov et al., arXiv 1906.00091, section 4.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.backbone import Backbone, Parameters, Touched

L2 = 1e-3
START = 0.03


class RowAdagrad:
    """Holds the accumulators: [rows] for a table, the parameter's own shape for a dense one."""

    def __init__(self, backbone: Backbone, l2: float = L2, start: float = START) -> None:
        """Make accumulators for every parameter of the backbone."""
        self.l2 = l2
        self.start = start
        self.rates = backbone.rates()
        # Kept as the excess over `start`, so that untouched rows stay zero pages that cost no memory.
        self.excess: Parameters = {
            name: torch.zeros(len(parameter), device=parameter.device)
            if name in backbone.spaces
            else torch.zeros_like(parameter)
            for name, parameter in backbone.named_parameters()
        }

    def start_rows(self, backbone: Backbone, space: str, rows: Tensor) -> None:
        """Forget what was accumulated for rows that have a new owner."""
        for name in (name for name, its in backbone.spaces.items() if its == space):
            self.excess[name][rows] = 0.0

    @torch.no_grad()
    def step(self, backbone: Backbone, touched: Touched, gradients: Mapping[str, Tensor]) -> None:
        """Apply the gradients (sums over the batch) of touched parameters to the backbone, in place."""
        for name, parameter in backbone.named_parameters():
            gradient = gradients[name]
            rows = touched.rows_of(backbone, name)
            if rows is None:
                self.excess[name] += gradient.square()
                parameter.sub_(self.rates[name] * gradient / (self.start + self.excess[name]).sqrt())
                continue
            local = touched.parameters[name].detach()
            gradient = gradient + self.l2 * local
            excess = self.excess[name][rows] + gradient.square().mean(1)
            self.excess[name][rows] = excess
            parameter[rows] = local - self.rates[name] * gradient / (self.start + excess).sqrt()[:, None]

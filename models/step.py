"""One batch's learning, whatever does the arithmetic: predict, take gradients, try, apply.

A `Step` holds the rows of one batch, cut out of the tables. Losses are cross-entropies toward targets, so their
gradient with respect to the logits is known in closed form, weight * (p - w), and a step only carries it back:
`gradients` is the vector-Jacobian product of `logits`. `AutogradStep` serves every backbone on every device;
`models.fused_gmf` does the same arithmetic for GMF on a CPU in compiled loops.
"""

from typing import Protocol

import torch
from torch import Tensor

from models.backbone import WHOLE, Backbone, Batch, Parameters, logits, touch
from models.fused_gmf import FusedGMFStep
from models.gmf import GMF
from models.row_adagrad import RowAdagrad


class Step(Protocol):
    """The rows of one batch of B pairs."""

    @property
    def parameters(self) -> Parameters:
        """Tables cut to the rows of the batch, dense parameters whole."""

    def logits(self, parameters: Parameters | None = None, part: slice = WHOLE) -> Tensor:
        """Return the logits of the batch, or a part of it, under these or other parameters alike. Shape [B, 2]."""

    def gradients(self, upstream: Tensor) -> Parameters:
        """Return the gradients of sum(upstream * logits). Shape [B, 2]; parameters as in `parameters`."""

    def tangent(self, direction: Parameters) -> Tensor:
        """Return how fast the logits change along a direction; parameters not named stay. Shape [B, 2]."""

    def apply(self, gradients: Parameters) -> None:
        """Let the optimizer change the whole tables by these gradients."""


class AutogradStep:
    """A step by autograd on touched rows."""

    def __init__(self, backbone: Backbone, optimizer: RowAdagrad, batch: Batch) -> None:
        """Gather the rows of an expanded batch."""
        self._backbone, self._optimizer = backbone, optimizer
        self._touched = touch(backbone, batch)
        self._logits: Tensor | None = None

    @property
    def parameters(self) -> Parameters:
        """See `Step`."""
        return self._touched.parameters

    def logits(self, parameters: Parameters | None = None, part: slice = WHOLE) -> Tensor:
        """See `Step`."""
        if parameters is not None:
            with torch.no_grad():
                return logits(self._backbone, parameters, self._touched.batch.take(part))
        self._logits = logits(self._backbone, self._touched.parameters, self._touched.batch)
        return self._logits.detach()[part]

    def gradients(self, upstream: Tensor) -> Parameters:
        """See `Step`."""
        if self._logits is None:
            self.logits()
        assert self._logits is not None
        names = list(self._touched.parameters)
        inputs = [self._touched.parameters[name] for name in names]
        found = torch.autograd.grad(self._logits, inputs, upstream, retain_graph=True, allow_unused=True)
        gradients = {
            name: torch.zeros_like(whole) if gradient is None else gradient
            for name, whole, gradient in zip(names, inputs, found, strict=True)
        }
        gradients["side"][0] = 0.0  # row 0 is nothing, and stays nothing
        return gradients

    def tangent(self, direction: Parameters) -> Tensor:
        """See `Step`."""
        names = [name for name in self._touched.parameters if name in direction]
        answers = logits(self._backbone, self._touched.parameters, self._touched.batch)
        upstream = torch.zeros_like(answers, requires_grad=True)
        # the gradient is linear in what is carried back, so its own gradient, along a direction, is the tangent
        inputs = [self._touched.parameters[name] for name in names]
        back = torch.autograd.grad(answers, inputs, upstream, create_graph=True)
        along = torch.stack([(part * direction[name]).sum() for name, part in zip(names, back, strict=True)]).sum()
        return torch.autograd.grad(along, upstream)[0].detach()

    def apply(self, gradients: Parameters) -> None:
        """See `Step`."""
        self._optimizer.step(self._backbone, self._touched, gradients)


def begin(backbone: Backbone, optimizer: RowAdagrad, batch: Batch) -> Step:
    """Return the step of a batch, by the fastest arithmetic that there is for this backbone and device."""
    if type(backbone) is GMF and batch.user.device.type == "cpu":
        return FusedGMFStep(backbone, optimizer, batch)
    return AutogradStep(backbone, optimizer, backbone.expand(batch))

"""Inverse Gradient: let held-out explicit feedback judge which way an unlabelled batch should push.

Three candidates are tried on the touched rows: theta - eta g (DIRECT), theta (KEEP), theta + eta g (INVERSE). The one
with the least loss on the held-out examples wins; ties keep theta. Gradients are taken once, functionally, at the same
theta: nothing accumulates between trials, and the examples that judge are not trained on before they have judged.
Source: "Inverse Learning with Extremely Sparse Feedback for Recommendation", arXiv 2311.08302, inverse gradient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import torch
from torch import Tensor

from models.backbone import Parameters

Inner = Literal["sgd", "sign"]


class Direction(StrEnum):
    """Which way an unlabelled batch is applied."""

    DIRECT = "direct"
    KEEP = "keep"
    INVERSE = "inverse"


STEP_SIGN = {Direction.DIRECT: -1.0, Direction.KEEP: 0.0, Direction.INVERSE: 1.0}


@dataclass(frozen=True)
class Decision:
    """A direction, and the loss on the held-out examples of each candidate."""

    direction: Direction
    losses: dict[Direction, float]


def decide(losses: Mapping[Direction, float]) -> Decision:
    """Choose the candidate with the least loss; KEEP unless another is strictly better than it."""
    best = Direction.KEEP
    for direction in (Direction.DIRECT, Direction.INVERSE):
        if losses[direction] < losses[best]:
            best = direction
    return Decision(best, dict(losses))


def propose(
    parameters: Parameters, gradients: Mapping[str, Tensor], rate: float, sign: float, inner: Inner
) -> Parameters:
    """Return theta + sign * rate * g, or + sign * rate * sgn(g) where `inner` is "sign"; new tensors."""
    return {
        name: torch.add(
            theta.detach(), gradients[name].sign() if inner == "sign" else gradients[name], alpha=sign * rate
        )
        for name, theta in parameters.items()
    }


@torch.no_grad()
def judge(
    parameters: Parameters,
    gradients: Mapping[str, Tensor],
    held_out_loss: Callable[[Parameters], Tensor],
    rate: float,
    inner: Inner = "sgd",
) -> Decision:
    """Try the three candidates and decide. `gradients` are those of the mean loss of the unlabelled batch."""
    theta = {name: parameter.detach() for name, parameter in parameters.items()}
    losses = {
        direction: float(held_out_loss(propose(theta, gradients, rate, sign, inner) if sign else theta))
        for direction, sign in STEP_SIGN.items()
    }
    return decide(losses)

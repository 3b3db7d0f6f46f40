"""Targets: the probability of relevance toward which an example is trained.

Every target is one member of a family, w = sigmoid(k (y + b) + LLR(x)), and the loss is always cross-entropy with
logits toward it. Explicit examples train toward what was said; targets differ in what they make of the rest.

Shapes: logit, explicit, belief are [B] float32; explicit is 1 (positive), 0 (negative) or -1 (nothing said). A target
returns (w [B], weight [B]); weight 0 leaves an example out. No gradient flows through either.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

UNSAID = -1.0
LOGIT_BOUND = 8.0


@dataclass(frozen=True)
class Examples:
    """What a target may look at."""

    logit: Tensor  # [B] detached
    explicit: Tensor  # [B] 1, 0 or UNSAID
    belief: Tensor  # [B] the annotator's probability given logit and watch evidence
    prior: float  # share of relevant examples among those of which nothing was said
    belief_share: float  # l of the evidence target, 0..1


class Target(Protocol):
    """Anything that says where examples should go."""

    def __call__(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Return (w, weight), each [B]."""


def loss(logit: Tensor, w: Tensor, weight: Tensor) -> Tensor:
    """Return the summed cross-entropy with logits toward w. Shapes [B] -> scalar; gradient weight * (p - w)."""
    return binary_cross_entropy_with_logits(logit, w, weight, reduction="sum")


def inverse_dual(logit: Tensor) -> Tensor:
    """Inverse Dual Loss's weight of the positive side, in closed form and stable everywhere.

    With a = softplus(-y) and b = softplus(y), the losses toward positive and negative, the paper weighs the positive
    loss by (b/a) / (b/a + a/b) = b^2 / (a^2 + b^2) = sigmoid(2 (log b - log a)), detached. The dual loss
    w a + (1 - w) b is cross-entropy toward w. Shapes [B] -> [B].
    Source: "Inverse Learning with Extremely Sparse Feedback for Recommendation", arXiv 2311.08302, inverse dual loss.
    """
    y = logit.detach().clamp(-LOGIT_BOUND, LOGIT_BOUND)
    return torch.sigmoid(2.0 * (softplus(y).log() - softplus(-y).log()))


def bce(examples: Examples) -> tuple[Tensor, Tensor]:
    """Explicit feedback only: what was said, and nothing else."""
    said = examples.explicit != UNSAID
    return examples.explicit.clamp(min=0.0), said.to(examples.logit.dtype)


def negative(examples: Examples) -> tuple[Tensor, Tensor]:
    """Unlabelled as negative: an exposure without explicit positive feedback is a negative."""
    return examples.explicit.clamp(min=0.0), torch.ones_like(examples.logit)


def idl(examples: Examples) -> tuple[Tensor, Tensor]:
    """Inverse Dual Loss exactly as published, on everything of which nothing was said."""
    return _where_unsaid(examples, inverse_dual(examples.logit)), torch.ones_like(examples.logit)


def evidence(examples: Examples) -> tuple[Tensor, Tensor]:
    """Evidence on top of `negative`: (1 - l) e + l w, with the annotator's belief w; explicit negatives stay 0.

    l falls to 0 where explicit feedback is plentiful (see `belief_share`), and the target is then `negative`. Ours.
    """
    said = examples.explicit.clamp(min=0.0)
    mixed = (1.0 - examples.belief_share) * said + examples.belief_share * examples.belief
    return torch.where(examples.explicit == 0.0, 0.0, mixed), torch.ones_like(examples.logit)


class AlignedIDL:
    """Inverse Dual Loss with one scalar b added to the logits, so that the mean target equals the prior.

    b is found by bisection on each batch and smoothed over batches; it is the only state of any target. Without it
    IDL sharpens around 1/2 and drifts to the majority class. Ours.
    """

    def __init__(self, smoothing: float = 0.9, offset: float = 0.0) -> None:
        """Start from a given offset b."""
        self.smoothing = smoothing
        self.offset = offset

    def __call__(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Return aligned targets; updates the offset."""
        unsaid = examples.logit[examples.explicit == UNSAID]
        if unsaid.numel():
            fitted = aligning_offset(unsaid, examples.prior)
            self.offset = self.smoothing * self.offset + (1.0 - self.smoothing) * fitted
        return _where_unsaid(examples, inverse_dual(examples.logit + self.offset)), torch.ones_like(examples.logit)


def aligning_offset(logit: Tensor, prior: float, rounds: int = 18, reach: float = 16.0) -> float:
    """Return b in +-reach for which mean(inverse_dual(logit + b)) = prior, to reach / 2^17. Shape [B]."""
    low, high = -reach, reach
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if float(inverse_dual(logit + middle).mean()) < prior else (low, middle)
    return (low + high) / 2


def belief_share(
    positive_rate: float, full: float = 0.3, none_above: float = 0.005, full_below: float = 0.002
) -> float:
    """Return l: 0 above 0.5 % explicit positives, 0.3 below 0.2 %, linear between. Measured on KuaiRand."""
    scarcity = (none_above - positive_rate) / (none_above - full_below)
    return full * min(1.0, max(0.0, scarcity))


def make_target(name: str) -> Target:
    """Return the target of a name. Raises KeyError for any other; `TARGETS` lists them."""
    return AlignedIDL() if name == "idl-aligned" else _STATELESS[name]


_STATELESS: dict[str, Target] = {"bce": bce, "negative": negative, "idl": idl, "evidence": evidence}
TARGETS = (*_STATELESS, "idl-aligned")


def _where_unsaid(examples: Examples, w: Tensor) -> Tensor:
    return torch.where(examples.explicit == UNSAID, w, examples.explicit)

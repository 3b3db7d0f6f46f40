"""Targets: the probability of relevance toward which an example is trained.

The loss is always cross-entropy with logits toward a target, so a method is one function: given what is known of the
examples, return (w, weight). Explicit examples train toward what was said; targets differ in what they make of the
rest. Most are members of one family, w = sigmoid(k (y + b) + LLR(x)).

Shapes: every column is [B] float32; explicit is 1 (positive), 0 (negative) or -1 (nothing said). A target returns
(w [B], weight [B]); weight 0 leaves an example out. No gradient flows through either.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

UNSAID = -1.0
LOGIT_BOUND = 8.0
LARGEST_DROP = 0.1  # of T-CE: the share of noisy positives left out once it has warmed up
DROP_WARM_UP = 30_000  # examples
REWEIGHT_POWER = 0.25  # beta of R-CE


@dataclass(frozen=True)
class Examples:
    """What a target may look at."""

    logit: Tensor  # [B] detached
    explicit: Tensor  # [B] 1, 0 or UNSAID
    quantile: Tensor  # [B] of the watch in its duration bucket; nan without a watch
    belief: Tensor  # [B] the annotator's probability given logit and watch evidence
    told: Tensor  # [B] 1 where the watch is evidence, 0 where there is none
    prior: float  # share of relevant examples among those of which nothing was said
    belief_share: float  # l of the evidence target, 0..1
    absence_share: float  # how far silence counts as a no, 0..1 (see `absence_share`)
    seen: int  # examples before this batch


Target = Callable[[Examples], tuple[Tensor, Tensor]]


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
    return examples.explicit.clamp(min=0.0), _said(examples)


def negative(examples: Examples) -> tuple[Tensor, Tensor]:
    """Unlabelled as negative: an exposure without explicit positive feedback is a negative."""
    return examples.explicit.clamp(min=0.0), torch.ones_like(examples.logit)


def positive(examples: Examples) -> tuple[Tensor, Tensor]:
    """Unlabelled as positive: whatever was watched was liked, unless the viewer said otherwise."""
    return _where_unsaid(examples, torch.ones_like(examples.logit)), torch.ones_like(examples.logit)


def watch(examples: Examples) -> tuple[Tensor, Tensor]:
    """Watch time as a weak label: w is the quantile of the watch among videos of like length.

    Source: Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction" (D2Q), KDD 2022.
    """
    known = examples.quantile.isfinite()
    w = torch.where(known, examples.quantile, 0.0)
    return _where_unsaid(examples, w), torch.maximum(_said(examples), known.to(w.dtype))


def noisy_label(examples: Examples) -> Tensor:
    """Return the implicit label that T-CE and R-CE denoise: 1 for a watch in the upper half, or an interaction as such.

    What was said stands. Shape [B].
    """
    implicit = (~(examples.quantile < 0.5)).to(examples.logit.dtype)
    return _where_unsaid(examples, implicit)


def tce(examples: Examples) -> tuple[Tensor, Tensor]:
    """Truncated cross-entropy: of the noisy positives, those with the largest loss are left out.

    The share left out rises to LARGEST_DROP over the first DROP_WARM_UP examples.
    Source: Wang et al., "Denoising Implicit Feedback for Recommendation" (ADT), WSDM 2021.
    """
    label = noisy_label(examples)
    noisy = (label == 1.0) & (examples.explicit == UNSAID)
    drop = LARGEST_DROP * min(1.0, examples.seen / DROP_WARM_UP)
    count = int(noisy.sum())
    keep = count - int(drop * count)
    weight = torch.ones_like(label)
    if keep < count:
        bound = examples.logit[noisy].sort(descending=True).values[keep - 1] if keep else torch.inf
        weight[noisy & (examples.logit < bound)] = 0.0  # for a positive, the loss falls as the logit rises
    return label, weight


def rce(examples: Examples) -> tuple[Tensor, Tensor]:
    """Reweighted cross-entropy: noisy labels count p^beta (positive) or (1 - p)^beta (negative).

    Source: Wang et al., "Denoising Implicit Feedback for Recommendation" (ADT), WSDM 2021.
    """
    label = noisy_label(examples)
    p = torch.sigmoid(examples.logit)
    weight = torch.where(label == 1.0, p, 1.0 - p) ** REWEIGHT_POWER
    return label, torch.where(examples.explicit == UNSAID, weight, 1.0)


def nnpu(examples: Examples) -> tuple[Tensor, Tensor]:
    """Non-negative PU learning: the unlabelled are a mixture with a share pi of positives.

        R = pi R+_p + max(0, R-_u - pi R-_p)

    with log loss, pi the prior, and R means over the batch. Where the bracket falls below 0 its gradient is reversed.
    A gradient g is handed on as the target p - g, which need not lie in 0..1. Explicit negatives train as such.
    Source: Kiryo et al., "Positive-Unlabeled Learning with Non-Negative Risk Estimator", NeurIPS 2017.
    """
    y, p = examples.logit, torch.sigmoid(examples.logit)
    said, unsaid = examples.explicit == 1.0, examples.explicit == UNSAID
    total, n_p, n_u = len(y), max(1, int(said.sum())), max(1, int(unsaid.sum()))
    scale, pi = total / n_p, min(max(examples.prior, 1e-4), 0.9)
    excess = softplus(y[unsaid]).sum() / n_u - pi * softplus(y[said]).sum() / n_p
    sign = 1.0 if float(excess) >= 0.0 else -1.0
    gradient = torch.where(examples.explicit == 0.0, p, torch.zeros_like(p))
    gradient = torch.where(unsaid, sign * p * total / n_u, gradient)
    gradient = torch.where(said, pi * scale * ((p - 1.0) * (1.0 if sign > 0 else 0.0) - sign * p), gradient)
    return p - gradient, torch.ones_like(p)


def idl(examples: Examples) -> tuple[Tensor, Tensor]:
    """Inverse Dual Loss exactly as published, on everything of which nothing was said."""
    return _where_unsaid(examples, inverse_dual(examples.logit)), torch.ones_like(examples.logit)


def evidence(examples: Examples) -> tuple[Tensor, Tensor]:
    """Evidence: what the annotator believes after the watch, as far as silence is not itself the answer. Ours.

    Where viewers rarely say no, silence is the only no there is, and the target of an unlabelled exposure is l w (with
    the annotator's belief w; l falls to 0 where explicit feedback is plentiful); an explicit positive is 1 - l + l w.
    Where they say no often enough, silence says nothing: the target is w, and an exposure without a watch is left out.
    `absence_share` s mixes the two.
    """
    s = examples.absence_share
    share = s * examples.belief_share
    unsaid = (share + 1.0 - s) * examples.belief
    said = examples.explicit * (1.0 - share + share * examples.belief)
    weight = torch.where(examples.explicit == UNSAID, s + (1.0 - s) * examples.told, 1.0)
    return torch.where(examples.explicit == UNSAID, unsaid, said), weight


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
    positive_rate: float,
    positives: float,
    full: float = 0.1,
    none_above: float = 0.005,
    full_below: float = 0.002,
    enough: float = 100.0,
) -> float:
    """Return l: 0 above 0.5 % explicit positives, `full` below 0.2 %, linear between; less before `enough` positives.

    An annotator that has seen few positives is hardly fit, and what it believes would feed back into what it learns
    from: on 25-27 April, 5 % of the labels, l = 0.3 from the start cost .019 AUC against l = 0.
    """
    scarcity = (none_above - positive_rate) / (none_above - full_below)
    return full * min(1.0, max(0.0, scarcity)) * min(1.0, positives / enough)


def absence_share(negative_share: float, whole_below: float = 0.05, none_above: float = 0.12) -> float:
    """Return how far silence counts as a no: 1 while negatives are under 5 % of what is said, 0 above 12 %.

    A viewer who could have said no and did not has said something; where hardly anybody ever says no, a positive rate
    can only be learned against silence. On KuaiRand 3 % of what is said is a no, where ratings stand for words 16 %.
    """
    return min(1.0, max(0.0, (none_above - negative_share) / (none_above - whole_below)))


def one_sidedness(mean_target: float, prior: float) -> float:
    """Return how many times rarer the targets' smaller class is than it should be: 1 is balanced, above 10 a collapse.

    The alarm on Inverse Dual Loss as published, whose targets all go to the majority class.
    """
    mean, prior = min(max(mean_target, 1e-9), 1 - 1e-9), min(max(prior, 1e-9), 1 - 1e-9)
    return max(prior / mean, (1.0 - prior) / (1.0 - mean), 1.0)


STATELESS: dict[str, Target] = {
    "bce": bce,
    "negative": negative,
    "positive": positive,
    "random": bce,  # the learner adds random negatives, see `SAMPLED`
    "watch": watch,
    "tce": tce,
    "rce": rce,
    "nnpu": nnpu,
    "idl": idl,
    "evidence": evidence,
}
TARGETS = (*STATELESS, "idl-aligned")
SAMPLED = frozenset({"random"})
"""Targets that also train, for each exposure, one pair of its user with a random item as a negative."""
ESTIMATES = frozenset({"positive", "watch", "tce", "rce", "idl", "idl-aligned"})
"""Targets that say of each unlabelled example how relevant it is; the mean of those should be the prior.

The others leave it out, take silence as the answer, or let the annotator say, who is calibrated by what is said.
"""
EXPLICIT_ONLY = frozenset({"bce", "random"})
"""Targets to which silence says nothing at all."""


def make_target(name: str) -> Target:
    """Return the target of a name. Raises KeyError for any other; `TARGETS` lists them."""
    return AlignedIDL() if name == "idl-aligned" else STATELESS[name]


def _said(examples: Examples) -> Tensor:
    return (examples.explicit != UNSAID).to(examples.logit.dtype)


def _where_unsaid(examples: Examples, w: Tensor) -> Tensor:
    return torch.where(examples.explicit == UNSAID, w, examples.explicit)

"""Inverse Gradient, exact and local: does an example's own gradient agree with that of the held-out explicit events?

    a_i = <g_meta, g_i>,   g_i = weight_i (p_i - w_i) d logit_i / d theta

A step along -g_i changes the held-out loss by -rate a_i to first order, so a_i > 0 says DIRECT, a_i < 0 INVERSE; the
sign of sum a_i is the paper's choice. One backward pass gives g_meta, one tangent along it every a_i. Only rows of
users and items take part: what all examples share (heads, side features) would drown them.
Sources: arXiv 2311.08302 for the decision; Ren et al., "Learning to Reweight Examples", ICML 2018 for max(0, a_i).
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.backbone import Parameters
from models.step import Step

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

LOCAL_SPACES = frozenset({"users", "items"})


def alignments(step: Step, spaces: dict[str, str], judge_upstream: Tensor, upstream: Tensor) -> Floats:
    """Return a_i of every example of a step; 0 where its upstream gradient is 0.

    Shapes: `judge_upstream` and `upstream` are [B, 2], the gradients of the held-out loss and of each example's own
    loss with respect to the logits; `spaces` says which parameters are tables, and of what. Returns [B].
    """
    meta: Parameters = {
        name: gradient for name, gradient in step.gradients(judge_upstream).items() if spaces.get(name) in LOCAL_SPACES
    }
    change = step.tangent(meta)
    return np.asarray((upstream * change).sum(1).to(torch.float64).cpu().numpy(), np.float64)


def local_signs(alignment: Floats, group: Groups) -> Floats:
    """Return the sign of each example's group's summed alignment: 1 DIRECT, -1 INVERSE, 0 KEEP. [B], [B] -> [B]."""
    return np.asarray(np.sign(np.bincount(group, alignment))[group]) if len(group) else np.zeros(0)


def reweighted(alignment: Floats) -> Floats:
    """Return max(0, a_i), scaled so that the weights have mean 1; all 0 where nothing agrees. Shape [B] -> [B]."""
    agreeing = np.maximum(alignment, 0.0)
    if not agreeing.any():
        return agreeing
    agreeing = agreeing / agreeing.max()  # first, since a_i may be too small to divide by
    return np.asarray(agreeing * (len(agreeing) / agreeing.sum()))


def group_means(alignment: Floats, group: Groups, groups: int) -> Floats:
    """Return each group's sum of a_i over its sum of |a_i|, in -1..1; nan for a group without any. -> [groups]."""
    total = np.bincount(group, alignment, minlength=groups)
    size = np.bincount(group, np.abs(alignment), minlength=groups)
    return np.asarray(np.divide(total, size, out=np.full(groups, np.nan), where=size > 0))

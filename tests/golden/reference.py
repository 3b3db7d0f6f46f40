"""The equations again, in plain float64 NumPy, written from the paper and the definitions alone.

Nothing here is shared with `models`: no closed form, no detach, one loop where a loop is the definition.
Source of IDL and IG: arXiv 2311.08302.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def losses(y: Floats) -> tuple[Floats, Floats]:
    """Return -log p and -log(1 - p) for p = 1 / (1 + exp(-y)), by extended precision."""
    wide = y.astype(np.longdouble)
    return np.log1p(np.exp(-wide)).astype(np.float64), np.log1p(np.exp(wide)).astype(np.float64)


def idl_weight(y: Floats) -> Floats:
    """The published ratio: (b/a) / (b/a + a/b), a the loss toward positive, b toward negative."""
    a, b = losses(y)
    return np.asarray((b / a) / (b / a + a / b))


def idl_loss(y: Floats) -> float:
    """Sum of w a + (1 - w) b."""
    a, b = losses(y)
    w = idl_weight(y)
    return float((w * a + (1 - w) * b).sum())


def idl_gradient(y: Floats) -> Floats:
    """d/dy with the weights held fixed: -w (1 - p) + (1 - w) p, from da/dy = -(1 - p) and db/dy = p."""
    p, w = 1 / (1 + np.exp(-y)), idl_weight(y)
    return np.asarray(-w * (1 - p) + (1 - w) * p)


def gmf_logit(user: Floats, item: Floats, weight: Floats, user_bias: float, item_bias: float, bias: float) -> float:
    """One pair's logit."""
    return float(bias + user_bias + item_bias + sum(h * u * v for h, u, v in zip(weight, user, item, strict=True)))


def cross_entropy(y: Floats, w: Floats) -> float:
    """Sum of w a + (1 - w) b for given targets w."""
    a, b = losses(y)
    return float((w * a + (1 - w) * b).sum())

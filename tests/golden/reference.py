"""The equations again, in plain float64 NumPy, written from the papers and the definitions alone.

Nothing here is shared with `models`: no closed form, no detach, no recursion, one loop where a loop is the definition.
Sources: arXiv 2311.08302 for IDL and IG; Kiryo et al., NeurIPS 2017, algorithm 1 for nnPU; `models.counts` and
`models.sequential_test` state the definitions of log-odds and of the betting test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Tables = Mapping[str, Floats]
Pairs = Sequence[tuple[int, int]]


def losses(y: Floats) -> tuple[Floats, Floats]:
    """Return -log p and -log(1 - p) for p = 1 / (1 + exp(-y)), by extended precision."""
    wide = y.astype(np.longdouble)
    return np.log1p(np.exp(-wide)).astype(np.float64), np.log1p(np.exp(wide)).astype(np.float64)


def probability(y: Floats) -> Floats:
    """Return 1 / (1 + exp(-y))."""
    return np.asarray(1.0 / (1.0 + np.exp(-y)))


def cross_entropy(y: Floats, w: Floats) -> Floats:
    """Return w a + (1 - w) b, example by example."""
    a, b = losses(y)
    return np.asarray(w * a + (1 - w) * b)


# Inverse Dual Loss


def idl_weight(y: Floats) -> Floats:
    """The published ratio: (b/a) / (b/a + a/b), a the loss toward positive, b toward negative."""
    a, b = losses(y)
    return np.asarray((b / a) / (b / a + a / b))


def idl_loss(y: Floats) -> Floats:
    """w+ a + w- b, example by example."""
    return cross_entropy(y, idl_weight(y))


def idl_gradient(y: Floats) -> Floats:
    """d/dy with the weights held fixed: -w (1 - p) + (1 - w) p, from da/dy = -(1 - p) and db/dy = p."""
    p, w = probability(y), idl_weight(y)
    return np.asarray(-w * (1 - p) + (1 - w) * p)


# Inverse Gradient on generalized matrix factorization


def gmf_logit(theta: Tables, user: int, item: int) -> float:
    """The first head's logit of one pair without side features."""
    products = [h * u * v for h, u, v in zip(theta["head"][0], theta["user"][user], theta["item"][item], strict=True)]
    return float(sum(products) + theta["user_bias"][user, 0] + theta["item_bias"][item, 0])


def gmf_logits(theta: Tables, pairs: Pairs) -> Floats:
    """The first head's logits."""
    return np.array([gmf_logit(theta, user, item) for user, item in pairs])


def gmf_gradient(theta: Tables, pairs: Pairs, slopes: Floats) -> dict[str, Floats]:
    """Sum over the pairs of slope * d logit / d theta, by the product rule."""
    gradient = {name: np.zeros_like(table) for name, table in theta.items()}
    for (user, item), slope in zip(pairs, slopes, strict=True):
        h, u, v = theta["head"][0], theta["user"][user], theta["item"][item]
        gradient["head"][0] += slope * u * v
        gradient["user"][user] += slope * h * v
        gradient["item"][item] += slope * h * u
        gradient["user_bias"][user, 0] += slope
        gradient["item_bias"][item, 0] += slope
    return gradient


def idl_mean_gradient(theta: Tables, pairs: Pairs) -> dict[str, Floats]:
    """The gradient of the mean IDL loss of an unlabelled batch."""
    return gmf_gradient(theta, pairs, idl_gradient(gmf_logits(theta, pairs)) / len(pairs))


@dataclass(frozen=True)
class Judges:
    """Held-out explicit examples."""

    pairs: Pairs
    said: Floats
    weight: Floats
    offset: Floats | float = 0.0  # of the logits

    def loss(self, theta: Tables) -> float:
        """The weighted mean of their cross-entropy."""
        each = cross_entropy(gmf_logits(theta, self.pairs) + self.offset, self.said)
        return float((self.weight * each).sum() / self.weight.sum())


def inverse_gradient(
    theta: Tables, gradient: Tables, judges: Judges, rate: float, by_sign: bool = False
) -> tuple[int, dict[int, float]]:
    """Return c in {-1, 0, 1} for the best of theta + c rate g, ties keeping theta, and the held-out loss of each c."""
    found = {}
    for c in (0, -1, 1):
        candidate = {n: theta[n] + c * rate * (np.sign(gradient[n]) if by_sign else gradient[n]) for n in theta}
        found[c] = judges.loss(candidate)
    return min(found, key=lambda c: found[c]), found  # the first of equals


# Non-negative PU learning


def nnpu_slopes(y: Floats, explicit: Floats, prior: float) -> Floats:
    """Kiryo's descent direction in the logits, times N: of R, or of minus the bracket where that is negative.

    R = pi mean_P(a) + max(0, mean_U(b) - pi mean_P(b)); explicit is 1 in P, -1 in U; a 0 trains toward negative.
    """
    _, b = losses(y)
    p, positive, unlabelled = probability(y), explicit == 1, explicit == -1
    shares = [0.0, 0.0]
    for side, members in enumerate((positive, unlabelled)):
        shares[side] = len(y) / max(1, int(members.sum()))
    bracket = shares[1] * b[unlabelled].sum() - prior * shares[0] * b[positive].sum()
    slopes = np.zeros(len(y))
    for n in range(len(y)):
        toward_positive, toward_negative = -(1 - p[n]), p[n]
        if explicit[n] == 0:
            slopes[n] = toward_negative
        elif explicit[n] == -1:
            slopes[n] = shares[1] * toward_negative * (1 if bracket >= 0 else -1)
        elif bracket >= 0:
            slopes[n] = prior * shares[0] * (toward_positive - toward_negative)
        else:
            slopes[n] = prior * shares[0] * toward_negative
    return slopes


# Log-odds from counts


@dataclass(frozen=True)
class Seen:
    """One event as the counts take it; `quantile` is nan without a watch."""

    rows: tuple[tuple[str, int, int], ...]  # (table, row, slot), nothing for row 0
    w: float
    weight: float
    quantile: float
    said: bool
    dislike: bool
    counted: bool

    def is_of(self, item: int) -> bool:
        """Whether it is an event of an item."""
        return any(table == "items" and row == item for table, row, _ in self.rows)

    def told(self, head: int) -> tuple[float, float]:
        """What it adds to the trials and the hits of a head."""
        watched = not np.isnan(self.quantile)
        return [
            (self.weight, self.weight * self.w),
            (float(watched), self.quantile if watched else 0.0),
            (float(self.said), float(self.said and self.dislike)),
        ][head]


@dataclass
class LogOdds:
    """Each count from its definition: the sum over past events of what they told, halved every `half_life` events."""

    half_life: float
    strength: Sequence[Floats]  # [head][slot]
    imagined: Sequence[tuple[float, float]]  # trials and hits that smooth the global rate, per head
    past: list[Seen] = field(default_factory=list)
    appeared: list[float] = field(default_factory=list)  # log(1 + A) of the item of each past event, as it came

    def rate(self, head: int) -> float:
        """The smoothed global rate; the latest event counts whole."""
        trials, hits = self.imagined[head]
        for age, event in enumerate(reversed(self.past)):
            one, hit = event.told(head)
            trials += one * 2 ** (-age / self.half_life)
            hits += hit * 2 ** (-age / self.half_life)
        return hits / trials

    def llr(self, table: str, row: int, slot: int, head: int) -> float:
        """What one row says."""
        trials = hits = 0.0
        for age, event in enumerate(reversed(self.past), start=1):
            times = sum((table, row) == (its, which) for its, which, _ in event.rows)
            one, hit = event.told(head)
            trials += times * one * 2 ** (-age / self.half_life)
            hits += times * hit * 2 ** (-age / self.half_life)
        if trials == 0:
            return 0.0
        g, k = self.rate(head), self.strength[head][slot]
        smoothed = (hits + k * g) / (trials + k)
        return float(np.log(smoothed / (1 - smoothed)) - np.log(g / (1 - g)))

    def appearances(self, event: Seen) -> float:
        """log(1 + A) of the event's item, A its decayed appearances; 0 for an unknown one."""
        item = [row for table, row, _ in event.rows if table == "items"]
        ages = enumerate(reversed(self.past), start=1)
        return float(np.log1p(sum(2 ** (-age / self.half_life) for age, past in ages if item and past.is_of(item[0]))))

    def features(self, event: Seen) -> tuple[Floats, Floats, float]:
        """Return llr [3, 6], base [3] and how often the item has appeared of an event, then count it."""
        llr, rates = np.zeros((3, 6)), np.array([self.rate(head) for head in range(3)])
        now = self.appearances(event)
        seen = now - float(np.mean(self.appeared)) if self.appeared else now
        for table, row, slot in event.rows:
            for head in range(3):
                llr[head, slot] += self.llr(table, row, slot, head)
        if event.counted:
            self.past.append(event)
            self.appeared.append(now)
        return llr, np.log(rates / (1 - rates)), seen


# Logistic regression with a Gaussian prior


def logistic_map(x: Floats, offset: Floats, w: Floats, weight: Floats, prior: Floats, ridge: float) -> Floats:
    """Return the maximum a posteriori coefficients, by Newton's method to convergence."""
    a = prior.copy()
    for _ in range(50):
        p = probability(offset + x @ a)
        gradient, curvature = ridge * (a - prior), ridge * np.eye(len(a))
        for row, slope, bend in zip(x, weight * (p - w), weight * p * (1 - p), strict=True):
            gradient = gradient + slope * row
            curvature = curvature + bend * np.outer(row, row)
        a = a - np.linalg.inv(curvature) @ gradient
        if np.abs(gradient).max() < 1e-9:
            break
    return a


# Testing by betting


def bets(z: Sequence[float], alpha: float, largest: float, prior_variance: float) -> list[int]:
    """Return a group's direction after each observation: two gamblers, each betting by what came before."""
    capital, direction, path, past = [1.0, 1.0], 0, [], list[float]()
    for value in z:
        mean = sum(past) / (len(past) + 1)
        variance = (prior_variance + sum(each**2 for each in past)) / (len(past) + 1) - mean**2
        for side, sign in enumerate((1, -1)):
            bet = min(max(sign * mean / (max(variance, 1e-3) + mean**2), 0.0), largest)
            capital[side] *= 1 + bet * sign * value
        past.append(value)
        won = [each >= 2 / alpha for each in capital]
        if any(won):
            direction = -1 if won[1] else 1
            capital = [1.0, 1.0]
        path.append(direction)
    return path

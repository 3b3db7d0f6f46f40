"""From counts and match to logits: three heads, each a small regression that weighs what the features say.

    watch     v = base_v + sum_s b_s LLRv_s + b_m match[watch] + b_0
    explicit  y = base_y + sum_s a_s LLR_s + a_v v' + a_m match[explicit] + a_n match[watch] + a_p seen + a_0
    dislike   z = base_z + sum_s d_s LLRz_s + d_0        among explicit words only

LLR are log-odds from counts (`models.counts`), match is the backbone's answer, v' the part of v that counts alone give,
less its base, seen how often the item has appeared. v' feeds y with no gradient back (the cascade), and a_v is learned
like every other coefficient. All is linear, so serving folds it into one number a user, one an item, one a side
feature, and one mix of the heads.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.counts import DISLIKE, EXPLICIT, SLOTS, WATCH, CountFeatures
from models.stack import RIDGE, OnlineLogistic

Floats = npt.NDArray[np.float64]

SEEN_RIDGE = 1_000.0  # popularity must prove itself: it moves whole items by what is true of few
_S = len(SLOTS)
_V, _M, _N, _SEEN, _ONE = range(_S, _S + 5)  # places of the rest among y's features


@dataclass(frozen=True)
class Prediction:
    """What the heads say of N pairs."""

    logit: Floats  # [N] y
    watch_logit: Floats  # [N] v
    watch_counts: Floats  # [N] v'
    dislike_logit: Floats  # [N] z
    offset: Floats  # [N, 2] what the backbone's own logits are added to: y and v without match

    def take(self, index: slice) -> "Prediction":
        """Return the chosen pairs."""
        return Prediction(**{name: value[index] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Mix:
    """The readout as serving folds it."""

    base: float
    slots: Floats  # [6] of LLR
    watch_slots: Floats  # [6] of LLRv, for v'
    cascade: float  # a_v
    heads: Floats  # [2] of match
    seen: float  # a_p
    watch_base: float  # b_0


class Readout:
    """The three regressions."""

    def __init__(self, cascade: bool = True) -> None:
        """Start at the priors: naive Bayes on the counts, the backbone as it is."""
        self.cascade = cascade
        self.watch = OnlineLogistic(np.array([*[0.7] * _S, 1.0, 0.0]))
        ridge = np.full(_S + 5, RIDGE)
        ridge[_SEEN] = SEEN_RIDGE
        self.explicit = OnlineLogistic(np.array([*[1.0] * _S, 0.8 if cascade else 0.0, 1.0, 0.0, 0.0, 0.0]), ridge)
        self.dislike = OnlineLogistic(np.array([*[0.7] * _S, 0.0]))

    def predict(self, features: CountFeatures, match: Floats) -> Prediction:
        """Return what the heads say. `match` is [N, 2], of the backbone."""
        b = self.watch.coefficients
        watch_counts = features.llr[:, WATCH] @ b[:_S] + b[-1]
        offset_v = features.base[:, WATCH] + watch_counts
        x = self._features(features, watch_counts, match)
        y = self.explicit.logits(x, features.base[:, EXPLICIT])
        a = self.explicit.coefficients
        offset_y = y - match @ a[[_M, _N]]
        z = features.base[:, DISLIKE] + features.llr[:, DISLIKE] @ self.dislike.coefficients[:_S]
        return Prediction(
            logit=y,
            watch_logit=offset_v + b[_S] * match[:, 1],
            watch_counts=watch_counts,
            dislike_logit=z + self.dislike.coefficients[-1],
            offset=np.stack([offset_y, offset_v], 1),
        )

    def learn(
        self,
        features: CountFeatures,
        match: Floats,
        predicted: Prediction,
        w: Floats,
        weight: Floats,
        quantile: Floats,
        said_dislike: Floats,
    ) -> None:
        """Take in N events. `quantile` is nan without a watch, `said_dislike` nan where nothing explicit was said."""
        self.learn_explicit(features, match, predicted, w, weight)
        one, watched = np.ones(len(w)), np.isfinite(quantile)
        x = np.concatenate([features.llr[:, WATCH], match[:, 1:], one[:, None]], 1)
        self.watch.learn(x, features.base[:, WATCH], np.where(watched, quantile, 0.5), watched.astype(np.float64))
        said = np.flatnonzero(np.isfinite(said_dislike))
        if len(said):
            x = np.concatenate([features.llr[said, DISLIKE], one[said, None]], 1)
            self.dislike.learn(x, features.base[said, DISLIKE], said_dislike[said], one[said])

    def learn_explicit(
        self, features: CountFeatures, match: Floats, predicted: Prediction, w: Floats, weight: Floats
    ) -> None:
        """Let the explicit head alone take in N events."""
        x = self._features(features, predicted.watch_counts, match)
        self.explicit.learn(x, features.base[:, EXPLICIT], w, weight)

    def mix(self) -> Mix:
        """Return the coefficients as serving needs them."""
        a, b = self.explicit.coefficients, self.watch.coefficients
        return Mix(
            base=float(a[_ONE]),
            slots=a[:_S],
            watch_slots=b[:_S],
            cascade=float(a[_V]) if self.cascade else 0.0,
            heads=a[[_M, _N]],
            seen=float(a[_SEEN]),
            watch_base=float(b[-1]),
        )

    def _features(self, features: CountFeatures, watch_counts: Floats, match: Floats) -> Floats:
        v = watch_counts if self.cascade else np.zeros(len(match))
        return np.concatenate(
            [features.llr[:, EXPLICIT], v[:, None], match, features.seen[:, None], np.ones((len(v), 1))], 1
        )

    def state(self) -> dict[str, Floats]:
        """Return all that `restore` needs."""
        return {f"{name}.{key}": value for name, part in self._parts().items() for key, value in part.state().items()}

    def restore(self, state: dict[str, Floats]) -> None:
        """Take over a state."""
        for name, part in self._parts().items():
            part.restore({key: state[f"{name}.{key}"] for key in part.state()})

    def _parts(self) -> dict[str, OnlineLogistic]:
        return {"explicit": self.explicit, "watch": self.watch, "dislike": self.dislike}

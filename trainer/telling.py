"""What events tell the counts: first what can be known at once, then put right once their targets are known.

Events of a batch are counted one after the other, so that a viewer's second event sees the first; but where a target
depends on the logit, it is known only after the whole batch was read. What was said is known at once; of the rest a
provisional exposure is counted, and corrected when the target has spoken.
"""

import numpy as np
import numpy.typing as npt

from models.counts import Counts, Told
from models.targets import EXPLICIT_ONLY
from trainer.labels import NEGATIVE, POSITIVE, UNLABELLED

Floats = npt.NDArray[np.float64]


def provisional(
    target: str, label: npt.NDArray[np.int8], quantile: Floats, counted: npt.NDArray[np.bool_], silence: float
) -> Told:
    """Return what events tell before their targets are known. `silence` says how far silence is a no. Shapes [N]."""
    unsaid = 0.0 if target in EXPLICIT_ONLY else silence if target == "evidence" else 1.0
    said = label != UNLABELLED
    return Told(
        w=(label == POSITIVE).astype(np.float64),
        weight=np.where(said, 1.0, unsaid),
        quantile=quantile,
        said=said,
        dislike=label == NEGATIVE,
        counted=counted,
    )


def put_right(
    counts: Counts,
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    side: npt.NDArray[np.int32],
    told: Told,
    w: Floats,
    weight: Floats,
    trust: Floats,
) -> None:
    """Correct the counts to (w, weight) where they differ from what was told, as far as it is trusted.

    Shapes [N], side [N, 7].
    """
    more, positives = trust * (weight - told.weight), trust * (weight * w - told.weight * told.w)
    at = np.flatnonzero(((more != 0.0) | (positives != 0.0)) & told.counted)
    if len(at):
        later = told.counted[::-1].cumsum()[::-1].astype(np.int64)  # counted events from each one on
        counts.correct(user[at], item[at], side[at], more[at], positives[at], later[at])

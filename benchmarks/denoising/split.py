"""Protocol *split*: MovieLens-1M, learned in a seeded order from the training part, measured on the validation part.

A rating above the threshold is a like, another a dislike; where the word is left out the learner sees a rated pair of
which nothing is said. Every validation rating is scored under the state at the end, as the learner would serve it.
Tuning measures a tenth of the training part instead.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from benchmarks.denoising.labels import kept, mixed
from benchmarks.denoising.measured import Measured
from benchmarks.denoising.resampling import auc_draws, gauc_draws, resample_users
from benchmarks.denoising.sources import Rated, Sources, ratings
from contract.events import Events
from trainer.learner import Learner
from trainer.metrics_math import auc, ece, gauc, log_loss
from trainer.movielens import played_in_order, with_words
from trainer.replay import frozen_logits, play
from trainer.settings import LearnerSettings

TUNING_SEED = 9_001  # of the tenth that tuning measures
_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Split:
    """What a like is, and the share of words shown."""

    above: int  # ratings above this are likes
    label_share: float
    epochs: int = 1

    protocol: ClassVar[str] = "split"

    @property
    def title(self) -> str:
        """What tables call it."""
        passes = "" if self.epochs == 1 else f", {self.epochs} passes"
        return f"rating > {self.above}, {self.label_share:.0%} of the labels{passes}"

    def measure(self, sources: Sources, settings: LearnerSettings, tuning: bool) -> Measured:
        """Learn the training part once through, and score the other."""
        train, valid = _parts(sources, tuning)
        said = kept(train.events.event_key, self.label_share, settings.seed)
        words = with_words(train.events, train.rating > self.above, said)
        random = np.random.default_rng(settings.seed)
        order = np.concatenate([random.permutation(len(train.rating)) for _ in range(self.epochs)])
        played = play(played_in_order(words, order), settings, None, lambda _: None)

        liked, user = valid.rating > self.above, valid.events.user_key
        logit = final_logits(played.learner, valid.events)
        score, resamples = played.learner.annotator.scores(logit), resample_users(user)
        return Measured(
            figures={
                "auc": auc(logit, liked),
                "gauc": gauc(logit, liked, user).value,
                "log_loss": log_loss(score, liked),
                "ece": ece(score, liked),
                "events": float(len(liked)),
                "positives": float(liked.sum()),
                "events_per_second": len(order) / played.seconds,
            },
            draws={"auc": auc_draws(logit, liked, resamples), "gauc": gauc_draws(logit, liked, user, resamples)},
            columns={"logit": logit},
        )


def final_logits(learner: Learner, events: Events) -> npt.NDArray[np.float64]:
    """Return what a learner says now of pairs of which nothing was said. Shape [N]."""
    parts = (slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(events), _ROWS_AT_ONCE))
    return np.concatenate([frozen_logits(learner, events.take(part)) for part in parts])


def _parts(sources: Sources, tuning: bool) -> tuple[Rated, Rated]:
    train, valid = ratings(sources)
    if not tuning:
        return train, valid
    tenth = mixed(train.events.event_key, TUNING_SEED) % np.uint64(10) == 0
    return (
        Rated(train.events.take(~tenth), train.rating[~tenth]),
        Rated(train.events.take(tenth), train.rating[tenth]),
    )

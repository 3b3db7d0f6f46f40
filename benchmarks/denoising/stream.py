"""Protocol *stream*: a real watch log in time order, predict then learn.

Truth is what viewers said: like, follow, comment or forward against every other exposure, also against those whose
positive the learner was not shown. AUC is over the scores from before each event was learned; GAUC and NDCG@10 score
each user-day slate under one state of the model (see `trainer.replay`). Where only a share of the words is shown, the
score is about shown words; it is divided by that share before log loss and ECE are measured.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.denoising.counts_and_cell import sigmoid
from benchmarks.denoising.labels import kept, silenced
from benchmarks.denoising.measured import Measured
from benchmarks.denoising.resampling import auc_draws, gauc_draws, resample_users
from benchmarks.denoising.sources import Sources, watch_log, window
from models.targets import inverse_dual
from trainer.labels import NEGATIVE, POSITIVE, label_actions
from trainer.metrics_math import auc, ece, gauc, log_loss, ndcg_at_k
from trainer.replay import Played, play, user_days
from trainer.settings import LearnerSettings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """The log with a share of its explicit words shown to the learner."""

    label_share: float

    protocol: ClassVar[str] = "stream"

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.label_share:.0%} of the labels"

    def measure(self, sources: Sources, settings: LearnerSettings, tuning: bool) -> Measured:
        """Play the log and measure its window."""
        log, measured = window(watch_log(sources), sources, tuning)
        events = log.events
        said, slate = label_actions(events.actions), user_days(events)
        shown = silenced(events, ~kept(events.event_key, self.label_share, settings.seed))
        played = play(shown, settings, slate, lambda _: None)

        positive = said[measured] == POSITIVE
        logit, slate_logit = played.logit[measured], played.slate_logit[measured]
        score = np.minimum(played.score[measured] / self.label_share, 1.0)
        slates, resamples = slate[measured], resample_users(events.user_key[measured])
        figures = {
            "auc": auc(logit, positive),
            "gauc": gauc(slate_logit, positive, slates).value,
            "ndcg_at_10": ndcg_at_k(slate_logit, positive, slates).value,
            "log_loss": log_loss(score, positive),
            "ece": ece(score, positive),
            "positives": float(positive.sum()),
            "events": float(len(positive)),
            "events_per_second": len(events) / played.seconds,
            **_beside(played, said, log.long_view, measured),
            **collapse(played.logit[measured & played.unlabelled]),
            "prior": float(positive.mean()),
            "shown_share": float(played.positive[measured].mean()),
        }
        return Measured(
            figures=figures,
            draws={
                "auc": auc_draws(logit, positive, resamples),
                "gauc": gauc_draws(slate_logit, positive, slates, resamples),
            },
            columns={"logit": logit, "slate_logit": slate_logit},
        )


def collapse(logit: Floats) -> dict[str, float]:
    """Return where a model sees these unlabelled events, and where paper IDL would push them: means, share over 1/2."""
    w = inverse_dual(torch.from_numpy(logit)).numpy()
    some = len(w) > 0
    return {
        "mean_probability": float(sigmoid(logit).mean()) if some else float("nan"),
        "idl_target_mean": float(w.mean()) if some else float("nan"),
        "idl_positive_side": float((w > 0.5).mean()) if some else float("nan"),
    }


def _beside(
    played: Played, said: npt.NDArray[np.int8], long_view: npt.NDArray[np.int8], measured: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Return how well the model tells likes from hates and long views from others, by the logit and by own heads."""
    spoken = measured & ((said == POSITIVE) | (said == NEGATIVE))
    viewed = measured & (long_view >= 0)
    figures = {
        "hate_auc": auc(played.logit[spoken], said[spoken] == POSITIVE),
        "long_view_auc": auc(played.logit[viewed], long_view[viewed] == 1),
        "hates": float((said[spoken] == NEGATIVE).sum()),
    }
    dislike, watch = getattr(played, "dislike", None), getattr(played, "watch_logit", None)
    if dislike is not None:
        figures["hate_auc_by_dislike"] = auc(-dislike[spoken], said[spoken] == POSITIVE)
    if watch is not None:
        figures["long_view_auc_by_watch"] = auc(watch[viewed], long_view[viewed] == 1)
    return figures

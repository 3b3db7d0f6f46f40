"""Protocol *recovery*: half of the explicit positives are hidden; who finds them among all that is unlabelled?

The learner plays the log without them. Measured are the scores of every exposure of the window of which the learner was
told nothing, against whether a positive was hidden there: its belief w, its logit y alone, and what needs no learner at
all: capped watch ratio, D2Q quantile, long view, and the control `counts+cell`. Each seed hides another half. ECE of y
is that of the calibrated score.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.denoising.counts_and_cell import counts_and_cell, sigmoid
from benchmarks.denoising.labels import hidden_half, silenced
from benchmarks.denoising.measured import Measured
from benchmarks.denoising.resampling import auc_draws, resample_users
from benchmarks.denoising.sources import Sources, watch_log, window
from benchmarks.denoising.watch_quantiles import watch_quantiles
from contract.events import Events
from models.targets import inverse_dual
from trainer.labels import POSITIVE, label_actions
from trainer.log_block import LogBlock
from trainer.metrics_math import auc, ece
from trainer.replay import Played, play
from trainer.settings import LearnerSettings

Floats = npt.NDArray[np.float64]

W, Y, IDL_TARGET = "w", "y alone", "idl target"  # scores that a learner gives
RATIO, D2Q, LONG_VIEW, COUNTS = "capped ratio", "D2Q quantile", "long view", "counts+cell"
CONTROL_SCORES = (Y, COUNTS, D2Q, RATIO, LONG_VIEW)


@dataclass(frozen=True)
class Recovery:
    """The log with half of its positives hidden."""

    protocol: ClassVar[str] = "recovery"

    @property
    def title(self) -> str:
        """What tables call it."""
        return "half of the positives hidden"

    def measure(self, sources: Sources, settings: LearnerSettings, tuning: bool) -> Measured:
        """Play the log and measure its window."""
        log, measured = window(watch_log(sources), sources, tuning)
        hidden = hidden_half(log.events, settings.seed)
        shown = silenced(log.events, hidden)
        played = play(shown, settings, None, lambda _: None)
        rows = measured & played.unlabelled
        resamples = resample_users(log.events.user_key[rows])
        figures: dict[str, float] = {
            "hidden": float(hidden[rows].sum()),
            "events": float(rows.sum()),
            "events_per_second": len(log) / played.seconds,
        }
        draws: dict[str, npt.NDArray[np.floating]] = {}
        columns: dict[str, npt.NDArray[np.floating]] = {}
        for name, score in _scores(log, shown, played).items():
            figures[f"auc {name}"] = auc(score[rows], hidden[rows])
            figures[f"ece {name}"] = ece(score[rows], hidden[rows])
            draws[f"auc {name}"] = auc_draws(score[rows], hidden[rows], resamples)
            columns[name] = score[rows]
        figures[f"ece {Y}"] = ece(played.score[rows], hidden[rows])
        return Measured(figures, draws, columns)


def _scores(log: LogBlock, shown: Events, played: Played) -> dict[str, Floats]:
    """Return scores within 0..1 by name, each [N]: those of the learner, then those without one."""
    watch, duration = shown.watch_ms, shown.duration_ms
    quantile = watch_quantiles(watch, duration)
    counted = counts_and_cell(shown.user_key, shown.item_key, quantile, label_actions(shown.actions) == POSITIVE)
    ratio = np.divide(watch, duration, out=np.zeros(len(shown)), where=duration > 0)
    return {
        W: played.belief,
        Y: sigmoid(played.logit),
        IDL_TARGET: inverse_dual(torch.from_numpy(played.logit)).numpy(),
        COUNTS: sigmoid(counted),
        D2Q: quantile,
        RATIO: np.clip(ratio, 0.0, 1.0),
        LONG_VIEW: (log.long_view == 1).astype(np.float64),
    }

"""Predict then learn: how good the scores were from before their events were learned. Free and honest.

The running AUC is kept as two histograms over the logit, so memory is fixed and the figure exact to a bin (0.006).
Slates need one model state: over a moving model, a like raises all later scores of its user, GAUC of good models falls
below 1/2 and the order of methods reverses. So GAUC scores with a frozen copy of the model, taken anew every
`slate_events`; a slate is one user's exposures under one copy.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.watch import long_views
from models.inverse_gradient import Direction
from models.targets import ESTIMATES, one_sidedness
from trainer.frozen import Frozen
from trainer.labels import POSITIVE, UNLABELLED
from trainer.learner import Learner
from trainer.metrics_math import auc, ece, gauc, log_loss
from trainer.score_drift import ScoreDrift
from trainer.stateful import State
from trainer.step_report import StepReport

Floats = npt.NDArray[np.float64]

LOGIT_RANGE = 12.0
BINS = 4_096
WINDOW_EVENTS = 20_000
SLATE_EVENTS = 16_384


class RunningAUC:
    """AUC of everything so far, in fixed memory."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, BINS), np.int64)

    def add(self, logit: Floats, positive: npt.NDArray[np.bool_]) -> None:
        """Count a batch. Shapes [N]."""
        place = np.clip((logit + LOGIT_RANGE) / (2 * LOGIT_RANGE) * BINS, 0, BINS - 1).astype(np.int64)
        for side in (0, 1):
            self._counts[side] += np.bincount(place[positive == bool(side)], minlength=BINS)

    @property
    def positives(self) -> int:
        """Positives so far."""
        return int(self._counts[1].sum())

    @property
    def value(self) -> float:
        """The share of (negative, positive) pairs in order, ties half; nan until both are seen."""
        negative, positive = self._counts
        pairs = negative.sum() * positive.sum()
        if pairs == 0:
            return float("nan")
        below = np.cumsum(negative) - 0.5 * negative
        return float((positive * below).sum() / pairs)


@dataclass(frozen=True)
class Quality:
    """Progressive quality; nan where there is not enough to say."""

    events: int
    positives: int
    auc: float
    gauc: float
    long_view_auc: float
    long_view_gauc: float
    window_auc: float
    window_gauc: float  # of the latest slates: those of the epoch that was closed last, and of the open one
    window_log_loss: float
    window_prior_log_loss: float  # of always answering the window's own rate
    window_ece: float
    window_positives: int
    window_rate_factor: float  # mean score over the rate of positives; nan without positives
    score_psi: float  # stability index of the scores of a window against the one before
    pseudo_label_share: float  # share of the window labelled 1
    prior: float  # share of explicit positives among recent exposures
    idl_target_mean: float  # mean of paper IDL's target over all that was unlabelled
    target_mean: float  # mean of the targets in use over what was unlabelled of late
    idl_one_sidedness: float  # how far that mean is from the prior, as a factor; above 10 is a collapse
    target_one_sidedness: (
        float  # the same of the targets in use, of late; 1 where they claim nothing (see models.targets.ESTIMATES)
    )
    directions: dict[str, int]  # Inverse Gradient's decisions


class Progressive:
    """Accumulates quality over step reports."""

    def __init__(self) -> None:
        self.explicit = RunningAUC()
        self.long_view = RunningAUC()
        self.events = 0
        self._window = np.zeros((WINDOW_EVENTS, 4))  # logit, score, positive, pseudo-label
        self._slates: list[tuple[npt.NDArray[np.generic], ...]] = []  # user, logit, positive, watch logit, long view
        self._slate_sums = np.zeros((2, 2))  # [explicit, long view] x [GAUC * weight, weight]
        self._latest_sums = np.zeros((2, 2))  # the same of the latest epoch that had any
        self._drift = ScoreDrift(WINDOW_EVENTS)
        self._frozen: Frozen | None = None
        self._in_epoch = 0
        self._idl = np.zeros(2)  # sum of IDL targets, unlabelled events
        self._targets = np.zeros(2)  # decayed over WINDOW_EVENTS: sum of targets, unlabelled events
        self._used = np.zeros(2)  # the same of all targets, those too that claim nothing
        self._prior = 0.0
        self._directions = dict.fromkeys(Direction, 0)

    def add(self, report: StepReport, learner: Learner) -> None:
        """Count a step. `learner` gives the rows, and the frozen copy when one is due."""
        watched = report.events.watch_ms >= 0
        positive = report.label == POSITIVE
        long_view = long_views(report.events.watch_ms, report.events.duration_ms)
        self.explicit.add(report.logit, positive)
        self.long_view.add(report.watch_logit[watched], long_view[watched])
        place = (self.events + np.arange(len(report))) % WINDOW_EVENTS
        labelled = report.score > report.calibration.threshold
        self._window[place] = np.stack([report.logit, report.score, positive, labelled], 1)
        self.events += len(report)
        self._drift.add(report.score)
        unlabelled = report.label == UNLABELLED
        self._idl += report.idl_target[unlabelled].sum(), unlabelled.sum()
        self._targets *= (decay := 0.5 ** (len(report) / WINDOW_EVENTS))
        self._used = decay * self._used + (report.target[unlabelled].sum(), unlabelled.sum())
        if learner.settings.target in ESTIMATES:
            self._targets += report.target[unlabelled].sum(), unlabelled.sum()
        self._prior = report.prior
        if report.decision:
            self._directions[report.decision.direction] += 1
        self._slate(report, learner, positive, long_view)

    def _slate(
        self, report: StepReport, learner: Learner, positive: npt.NDArray[np.bool_], long_view: npt.NDArray[np.bool_]
    ) -> None:
        if self._frozen is not None:
            events = report.events
            user, item = learner.users.rows(events.user_key), learner.items.rows(events.item_key)
            side = learner.side_of(events)
            frozen = self._frozen.predict(user.astype(np.int64), item.astype(np.int64), side)
            self._slates.append((events.user_key, frozen.logit, positive, frozen.watch_logit, long_view))
        self._in_epoch += len(report)
        if self._in_epoch >= SLATE_EVENTS:
            self._close_slates()
            self._frozen, self._in_epoch = learner.snapshot(), 0

    def _close_slates(self) -> None:
        sums = self._open_slate_sums()
        self._slate_sums += sums
        if sums.any():
            self._latest_sums = sums
        self._slates = []

    def _open_slate_sums(self) -> Floats:
        sums = np.zeros((2, 2))
        if self._slates:
            user, *pairs = (np.concatenate(column) for column in zip(*self._slates, strict=True))
            for row, (logit, label) in enumerate((pairs[:2], pairs[2:])):
                found = gauc(logit, label, user)
                if found.groups:
                    sums[row] = found.value * found.weight, found.weight
        return sums

    def quality(self) -> Quality:
        """Return the figures as of now."""
        logit, score, positive, labelled = self._window[: min(self.events, WINDOW_EVENTS)].T
        said = positive.astype(np.bool_)
        still_open = self._open_slate_sums()
        by_slate, latest = _by_slate(self._slate_sums + still_open), _by_slate(self._latest_sums + still_open)
        some = len(said) > 0
        return Quality(
            events=self.events,
            positives=self.explicit.positives,
            auc=self.explicit.value,
            gauc=float(by_slate[0]),
            long_view_auc=self.long_view.value,
            long_view_gauc=float(by_slate[1]),
            window_auc=auc(logit, said) if some else float("nan"),
            window_gauc=float(latest[0]),
            window_log_loss=log_loss(score, said) if some else float("nan"),
            window_prior_log_loss=log_loss(np.full(len(said), said.mean()), said) if some else float("nan"),
            window_ece=ece(score, said) if some else float("nan"),
            window_positives=int(said.sum()),
            window_rate_factor=float(score.mean() / said.mean()) if said.any() else float("nan"),
            score_psi=self._drift.value,
            pseudo_label_share=float(labelled.mean()) if some else float("nan"),
            prior=self._prior,
            idl_target_mean=_mean(self._idl),
            target_mean=_mean(self._used),
            idl_one_sidedness=one_sidedness(_mean(self._idl), self._prior) if self._idl[1] else float("nan"),
            target_one_sidedness=self._target_one_sidedness(),
            directions={direction.value: count for direction, count in self._directions.items()},
        )

    def _target_one_sidedness(self) -> float:
        return one_sidedness(_mean(self._targets), self._prior) if self._targets[1] else 1.0

    def state(self) -> State:
        """Return what `restore` needs. The frozen copy is not kept: after a restart its epoch starts anew."""
        still_open = self._open_slate_sums()
        return self._drift.state() | {
            "explicit": self.explicit._counts,
            "long_view": self.long_view._counts,
            "events": np.array([self.events]),
            "window": self._window[: min(self.events, WINDOW_EVENTS)],
            "slate_sums": self._slate_sums + still_open,
            "latest_sums": self._latest_sums + still_open,
            "idl": self._idl,
            "targets": self._targets,
            "used_targets": self._used,
            "prior": np.array([self._prior]),
            "directions": np.array(list(self._directions.values())),
        }

    def restore(self, state: State) -> None:
        """Take over a state; of one of an earlier release what it does not know begins anew."""
        self._drift.restore(state)
        self.explicit._counts = np.array(state["explicit"])
        self.long_view._counts = np.array(state["long_view"])
        self.events = int(state["events"][0])
        self._window[: len(state["window"])] = state["window"]
        self._slate_sums = np.array(state["slate_sums"])
        self._latest_sums = np.array(state.get("latest_sums", np.zeros((2, 2))))
        self._idl, self._targets = np.array(state["idl"]), np.array(state["targets"])
        self._used = np.array(state.get("used_targets", np.zeros(2)))
        self._prior = float(state["prior"][0])
        self._directions = dict(zip(Direction, state["directions"].tolist(), strict=True))


def _by_slate(sums: Floats) -> Floats:
    return np.asarray(np.divide(sums[:, 0], sums[:, 1], out=np.full(2, np.nan), where=sums[:, 1] > 0))


def _mean(sums: Floats) -> float:
    return float(sums[0] / sums[1]) if sums[1] else float("nan")

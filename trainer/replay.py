"""A watch log through the same `Learner`, offline: predict, then learn, in log order.

GAUC and NDCG score each user-day slate with one model state: the one at the day's first exposure of that user, before
anything of the day is learned about them. Recovery hides half of the explicit positives and asks how well the
annotator's belief w finds them among all that is unlabelled.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from contract.errors import DataError
from contract.events import POSITIVE_ACTIONS, Events
from trainer.caps import NO_CAPS, Caps
from trainer.labels import POSITIVE, UNLABELLED
from trainer.learner import Learner
from trainer.metrics_math import auc, ece, gauc, log_loss, ndcg_at_k
from trainer.progressive import Progressive
from trainer.settings import CapSettings, LearnerSettings
from trainer.within_caps import step_within

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

KUAIRAND_UTC_OFFSET_MS = 8 * 3_600_000  # its days begin at midnight in China
DAY_MS = 86_400_000
_COLUMNS = ("logit", "score", "belief", "watch_logit", "dislike", "label")
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Evaluation:
    """Offline quality of the events from `measure_from_ms` on; nan where there is not enough to say."""

    auc: float
    gauc: float
    ndcg_at_10: float
    log_loss: float
    ece: float
    long_view_auc: float
    recovery_auc: float
    recovery_ece: float
    positives: int
    events: int
    slates: int  # user-days with a positive and another exposure, which GAUC is the mean of
    capped: int  # events of the whole log that were over a cap, and so scored only
    events_per_second: float


@dataclass(frozen=True)
class Played:
    """What a replay saw, columns of length N in log order."""

    logit: Floats
    score: Floats
    belief: Floats
    watch_logit: Floats
    dislike: Floats
    positive: Mask
    unlabelled: Mask
    slate_logit: Floats  # under the state at the start of the event's user-day
    learner: Learner
    progressive: Progressive
    seconds: float  # of learning alone
    capped: int  # events that were over a cap


def evaluate(
    events: Events,
    long_view: npt.NDArray[np.int8],
    settings: LearnerSettings,
    measure_from_ms: int,
    tick: Progress,
    caps: CapSettings | None = None,
) -> Evaluation:
    """Replay a log twice, whole and with half of its positives hidden, and measure it from a time on.

    `long_view` is 0, 1 or -1 where unknown. `tick` is called with the number of events of each step; both replays
    count. Raises DataError if nothing is left to measure.
    """
    measured = events.at_ms >= measure_from_ms
    if not measured.any():
        raise DataError(
            f"no event of the log is at or after the measure-from time; its last is {events.at_ms.max()} ms"
        )
    days = user_days(events)
    played = play(events, settings, days, tick, caps)
    hidden = hide_half(events)
    blinded = play(_without_actions(events, hidden), settings, None, tick, caps)
    candidates = measured & blinded.unlabelled
    slates = gauc(played.slate_logit[measured], played.positive[measured], days[measured])
    said = measured & (long_view >= 0)
    return Evaluation(
        auc=auc(played.logit[measured], played.positive[measured]),
        gauc=slates.value,
        ndcg_at_10=ndcg_at_k(played.slate_logit[measured], played.positive[measured], days[measured]).value,
        log_loss=log_loss(played.score[measured], played.positive[measured]),
        ece=ece(played.score[measured], played.positive[measured]),
        long_view_auc=auc(played.logit[said], long_view[said] == 1) if said.any() else float("nan"),
        recovery_auc=auc(blinded.belief[candidates], hidden[candidates]),
        recovery_ece=ece(blinded.belief[candidates], hidden[candidates]),
        positives=int(played.positive[measured].sum()),
        events=int(measured.sum()),
        slates=slates.groups,
        capped=played.capped,
        events_per_second=len(events) / played.seconds,
    )


def play(
    events: Events,
    settings: LearnerSettings,
    slates: npt.NDArray[np.int64] | None,
    tick: Progress,
    caps: CapSettings | None = None,
) -> Played:
    """Step a new learner through the events. `slates` [N] groups them for frozen scores; None leaves those out.

    With `caps` the limits of the live trainer hold, by the events' own times in place of the log's.
    """
    learner, progressive, limits, capped = Learner(settings), Progressive(), Caps(caps or NO_CAPS), 0
    columns: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _COLUMNS}
    slate_logit, members = np.full(len(events), np.nan), _members_at_first(slates) if slates is not None else None
    seconds = 0.0
    for batch in _batches(len(events), settings.batch_events):
        if members is not None:
            places = members(batch)
            if len(places):
                slate_logit[places] = frozen_logits(learner, events.take(places))
        some = events.take(batch)
        started = time.perf_counter()
        over = limits.over(some, some.at_ms)
        parts = list(step_within(learner, some, over, learner.step))
        seconds += time.perf_counter() - started
        for _, report in parts:
            if not report.capped.any():
                progressive.add(report, learner)
        places = np.argsort(np.concatenate([places for places, _ in parts]))  # back into the order of the log
        for name, column in columns.items():
            column.append(np.concatenate([getattr(report, name) for _, report in parts])[places])
        capped += int(over.sum())
        tick(len(some))
    whole = {name: np.concatenate(column) for name, column in columns.items()}
    return Played(
        logit=whole["logit"].astype(np.float64),
        score=whole["score"].astype(np.float64),
        belief=whole["belief"].astype(np.float64),
        watch_logit=whole["watch_logit"].astype(np.float64),
        dislike=whole["dislike"].astype(np.float64),
        positive=whole["label"] == POSITIVE,
        unlabelled=whole["label"] == UNLABELLED,
        slate_logit=slate_logit,
        learner=learner,
        progressive=progressive,
        seconds=seconds,
        capped=capped,
    )


def user_days(events: Events) -> npt.NDArray[np.int64]:
    """Return a number for each (user, local day). Shape [N]."""
    day = (events.at_ms + KUAIRAND_UTC_OFFSET_MS) // DAY_MS
    _, user = np.unique(events.user_key, return_inverse=True)
    _, group = np.unique(user * 100_000 + day, return_inverse=True)
    return np.asarray(group, np.int64)


def hide_half(events: Events) -> Mask:
    """Return which positives are hidden in the recovery test: half of them, by the event's key. Shape [N]."""
    half = (events.event_key >> np.uint64(4)) % np.uint64(2) == 0
    return np.asarray(half & ((events.actions & POSITIVE_ACTIONS) != 0))


def _without_actions(events: Events, hidden: Mask) -> Events:
    return replace(events, actions=np.where(hidden, 0, events.actions).astype(np.uint8))


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _members_at_first(slates: npt.NDArray[np.int64]) -> Callable[[slice], npt.NDArray[np.int64]]:
    """Return a function from a batch to all places of the slates whose first exposure is in it."""
    first_of_slate = np.unique(slates, return_index=True)[1]
    first = first_of_slate[slates]  # [N] place of the first exposure of each event's slate
    by_first = np.argsort(first, kind="stable")
    starts = first[by_first]

    def members(batch: slice) -> npt.NDArray[np.int64]:
        low, high = np.searchsorted(starts, [batch.start, batch.stop])
        return np.asarray(by_first[low:high])

    return members


def frozen_logits(learner: Learner, events: Events) -> Floats:
    """Return what a learner says of events under its state now, learning nothing. Shape [N]."""
    return learner.predict(events.user_key, events.item_key, learner.side_of(events)).logit

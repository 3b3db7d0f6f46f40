"""One second of the service in a few numbers: what it counts anyway, read off as it stands."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from service.health import LogWatch
from service.metrics import Metrics
from service.servable import age_s
from service.slot import Slot

_SCORE = ("/v1/score",)


@dataclass(frozen=True)
class Tick:
    """The service at one moment. Counts go on from its start; what is not known is None."""

    at_ms: int
    acknowledged: int  # events stored and confirmed
    requests: int
    shed: int
    unstored: int  # events answered with 503
    scored: int  # candidates
    p50_ms: float | None  # of the scores since the tick before, to the width of a bucket; None without one
    p99_ms: float | None
    version: str
    age_s: float | None  # since the training data of the version ends
    fallback: bool
    log_up: bool
    lag_entries: int | None  # that no checkpoint covers yet
    oldest_untrained_s: float | None  # 0 without any


class Pulse:
    """Takes ticks of one process."""

    def __init__(self, metrics: Metrics, slot: Slot, log_watch: LogWatch) -> None:
        """Read from these; they are only looked at."""
        self._metrics = metrics
        self._slot = slot
        self._log_watch = log_watch
        self._scores: list[int] = []  # of each bucket, at the tick before

    def take(self) -> Tick:
        """Return the tick of now."""
        metrics, servable, now_ms = self._metrics, self._slot.current, time.time_ns() // 1_000_000
        through_ms, figures = servable.trained_through_ms, self._log_watch.figures
        p50_ms, p99_ms = self._score_ms()
        return Tick(
            at_ms=now_ms,
            acknowledged=int(metrics.acknowledged.total),
            requests=int(sum(tally.total for tally in metrics.requests.values())),
            shed=int(metrics.shed.total),
            unstored=int(metrics.unstored.total),
            scored=int(metrics.candidates.total),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            version=servable.version,
            age_s=None if through_ms is None else age_s(through_ms),
            fallback=servable.fallback,
            log_up=self._log_watch.answers,
            lag_entries=None if figures is None else figures.lag_entries,
            oldest_untrained_s=None if figures is None else figures.oldest_untrained_s,
        )

    def _score_ms(self) -> tuple[float | None, float | None]:
        """Return median and 99th percentile of the scores answered since the last time."""
        spread = self._metrics.request_seconds.get(_SCORE)
        if spread is None:
            return None, None
        before, self._scores = self._scores or [0] * len(spread.counts), list(spread.counts)
        latest = [now - then for now, then in zip(self._scores, before, strict=True)]
        found = [quantile_of(spread.bounds, latest, share) for share in (0.5, 0.99)]
        p50_ms, p99_ms = (None if seconds is None else 1000 * seconds for seconds in found)
        return p50_ms, p99_ms


def quantile_of(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return below which value `share` of a histogram lies, as if a bucket's were spread evenly; None of nothing.

    `bounds` ascend from above 0; the last of `counts` is of what is over all of them, told as the last bound.
    """
    total = sum(counts)
    if not total:
        return None
    below = 0
    for upto, (low, high) in zip(accumulate(counts), pairwise([0.0, *bounds]), strict=False):
        if upto >= share * total and upto > below:
            return low + (high - low) * (share * total - below) / (upto - below)
        below = upto
    return bounds[-1]

"""Counters and histograms as plain numbers, told to Prometheus when it asks.

The event loop is their only writer, so they need no lock: counting a request is an addition, where prometheus_client's
own counter takes 1-2 us. Names, types, labels and buckets are exposed as it would, but not when each began: that is one
more series for each, which nobody asks for.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Tally:
    """One counter."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        """Start at zero."""
        self.total: float = 0

    def inc(self, amount: float = 1) -> None:
        """Count `amount` more."""
        self.total += amount


class Spread:
    """One histogram."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start empty; `bounds` ascend, and each is the largest value of its bucket."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last for what is over all bounds
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Take in one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_many(self, value: float, count: int) -> None:
        """Take in one value `count` times."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


class Tallies(Collector):
    """The counters of one name. `by_labels` makes the one of {values of the labels} when it is first asked for."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        """Take the name, the help text and the names of the labels."""
        self.by_labels: defaultdict[tuple[str, ...], Tally] = defaultdict(Tally)
        self._described = name, meaning, labels

    def collect(self) -> Iterator[Metric]:
        """Yield the counters as they stand."""
        name, meaning, labels = self._described
        family = CounterMetricFamily(name, meaning, labels=labels)
        for values, tally in self.by_labels.items():
            family.add_metric(values, tally.total)
        yield family


class Spreads(Collector):
    """The histograms of one name. `by_labels` makes the one of {values of the labels} when it is first asked for."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        """Take the name, the help text, the bounds of the buckets and the names of the labels."""
        self.by_labels: defaultdict[tuple[str, ...], Spread] = defaultdict(lambda: Spread(bounds))
        self._described = name, meaning, labels
        self._buckets = [*(str(float(bound)) for bound in bounds), "+Inf"]

    def collect(self) -> Iterator[Metric]:
        """Yield the histograms as they stand."""
        name, meaning, labels = self._described
        family = HistogramMetricFamily(name, meaning, labels=labels)
        for values, spread in self.by_labels.items():
            family.add_metric(values, list(zip(self._buckets, accumulate(spread.counts), strict=True)), spread.sum)
        yield family

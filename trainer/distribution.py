"""A Prometheus histogram that takes in whole arrays: one value at a time would cost a microsecond each."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Distribution(Collector):
    """One histogram without labels, written by one thread."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        """Register an empty histogram; `bounds` ascend, and each is the largest value of its bucket."""
        self._name, self._meaning = name, meaning
        self._bounds = np.array(bounds)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Take in values. Shape [N]."""
        places = np.searchsorted(self._bounds, values, "left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it stands."""
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(bounds, np.cumsum(self._counts).astype(float).tolist(), strict=True))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=self._sum)

"""What the service tells Prometheus. One registry a process; no user or item id is ever a label."""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

from service.servable import Servable
from service.tally import Spread, Spreads, Tallies, Tally

_REQUEST_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_SWAP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Everything the service counts. Written by the event loop only."""

    def __init__(self) -> None:
        """Make all collectors, at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._tallies("winnow_requests_total", "Requests answered.", ("route", "status"))
        self.request_seconds = self._spreads(
            "winnow_request_seconds", "Time from a request's head to its last byte.", _REQUEST_BUCKETS_S, ("route",)
        )
        self.shed = self._tally("winnow_requests_shed_total", "Requests refused because too many were at work.")
        self.turned_away = self._tallies(
            "winnow_requests_turned_away_total", "Requests refused for their key, its role or its rate.", ("reason",)
        )
        self.keys_up = self._gauge("winnow_api_keys_up", "Whether the file of API keys could be read when it changed.")
        self.candidates = self._tally("winnow_score_candidates_total", "Candidates scored.")
        self.fallback = self._tally("winnow_score_fallback_total", "Score requests the built-in prior answered.")
        self.unknown_users = self._tally("winnow_score_unknown_users_total", "Score requests for unknown users.")
        self.unknown_items = self._tally("winnow_score_unknown_items_total", "Candidates the model does not know.")
        self.labelled = self._tally("winnow_labels_events_total", "Views labelled on request.")
        self.acknowledged = self._tally("winnow_feedback_acknowledged_events_total", "Events stored and confirmed.")
        self.unstored = self._tally("winnow_feedback_unstored_events_total", "Valid events answered with 503.")
        self.impressions = self._tallies(
            "winnow_feedback_impressions_total", "Events by what their impression proves.", ("proof",)
        )
        self.log_up = self._gauge("winnow_log_up", "Whether the event log answers: 1 or 0.")
        self.swap_seconds = self._spread(
            "winnow_model_swap_seconds", "Time to open, prove and take over a version.", _SWAP_BUCKETS_S
        )
        self.refused = self._tally("winnow_model_refused_total", "Versions refused.")

    def answered(self, route: str, status: int, seconds: float | None) -> None:
        """Count one request that `route` answered with `status`, `seconds` after its head came; None is not timed."""
        self.requests[route, f"{status // 100}xx"].inc()
        if seconds is not None:
            self.request_seconds[(route,)].observe(seconds)

    def follow(self, current: Callable[[], Servable]) -> None:
        """Describe the servable in use, whichever it is when someone looks."""
        version = self._gauge("winnow_model_version", "Number of the version in use; 0 is the built-in prior.")
        version.set_function(lambda: int(current().version) if current().version.isdigit() else 0)
        fallback = self._gauge("winnow_model_fallback", "Whether the built-in prior is in use: 1 or 0.")
        fallback.set_function(lambda: float(current().fallback))
        age = self._gauge("winnow_model_age_seconds", "Time since the version's training data ends; NaN for the prior.")
        age.set_function(lambda: _age_s(current()))

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _tallies(self, name: str, meaning: str, labels: Sequence[str] = ()) -> defaultdict[tuple[str, ...], Tally]:
        tallies = Tallies(name, meaning, labels)
        self.registry.register(tallies)
        return tallies.by_labels

    def _spreads(
        self, name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> defaultdict[tuple[str, ...], Spread]:
        spreads = Spreads(name, meaning, bounds, labels)
        self.registry.register(spreads)
        return spreads.by_labels

    def _tally(self, name: str, meaning: str) -> Tally:
        return self._tallies(name, meaning)[()]

    def _spread(self, name: str, meaning: str, bounds: Sequence[float]) -> Spread:
        return self._spreads(name, meaning, bounds)[()]

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)


def _age_s(servable: Servable) -> float:
    through_ms = servable.trained_through_ms
    return float("nan") if through_ms is None else time.time() - through_ms / 1000

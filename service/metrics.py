"""What the service tells Prometheus. One registry a process; no user or item id is ever a label."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest

from contract.hashing import PARTITIONS
from contract.impressions import Proof
from contract.log_figures import LogFigures
from contract.release import release
from service.acknowledged import Acknowledged
from service.servable import Servable, age_s
from service.tally import Spread, Spreads, Tallies, Tally

_REQUEST_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_SWAP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SERVED_BUCKETS_S = (0.5, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30, 60, 300, 1800)
_STATUSES = ("2xx", "4xx", "5xx")  # of any route from the start, so that a rate has a beginning
CONSOLE, INFER, OTHER = "/console", "/v2/models/{name}/infer", "other"


class Metrics:
    """Everything the service counts. Written by the event loop only."""

    def __init__(self) -> None:
        """Make all collectors, at zero; what nobody has told yet is NaN."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        built = Gauge("winnow_build_info", "Release of this process; always 1.", ["release"], registry=self.registry)
        built.labels(release()).set(1)
        self.requests = self._tallies("winnow_requests_total", "Requests answered.", ("route", "status"))
        self.request_seconds = self._spreads(
            "winnow_request_seconds",
            "Time from a request's head to its last byte; the console is one route, so is all that scores nothing.",
            _REQUEST_BUCKETS_S,
            ("route",),
        )
        for route in (CONSOLE, INFER, OTHER):
            self.open_route(route)
        self.shed = self._tally("winnow_requests_shed_total", "Requests refused because too many were at work.")
        self.turned_away = self._tallies(
            "winnow_requests_turned_away_total", "Requests refused for their key, its role or its rate.", ("reason",)
        )
        for reason in ("key", "role", "rate"):
            _ = self.turned_away[(reason,)]
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
        for proof in Proof:
            _ = self.impressions[proof.value,]
        self.waiting = Acknowledged(
            self._spread(
                "winnow_acknowledged_to_served_seconds",
                "Time from an event's acknowledgement by this process until it serves a version that has it.",
                _SERVED_BUCKETS_S,
            )
        )
        self.log_up = self._gauge("winnow_log_up", "Whether the event log answers: 1 or 0.")
        self.swap_seconds = self._spread(
            "winnow_model_swap_seconds", "Time to open, prove and take over a version.", _SWAP_BUCKETS_S
        )
        self.refused = self._tally("winnow_model_refused_total", "Versions refused.")
        self.console_streams = self._gauge("winnow_console_streams", "Consoles that are open, by their live streams.")
        self.disk_free = self._unknown("winnow_disk_free_ratio", "Share of the registry's disk that is free.")
        self.log_max_entries = self._gauge(
            "winnow_log_max_entries", "Entries that a partition of the log may hold before feedback answers 503."
        )
        self._make_log_figures()

    def open_route(self, route: str) -> None:
        """Make ready to count a route that has a histogram of its own."""
        self.request_seconds[(route,)]
        for status in _STATUSES:
            self.requests[route, status]

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request that a hot `route` answered with `status`, `seconds` after its head came."""
        self.requests[route, f"{status // 100}xx"].inc()
        self.request_seconds[(route,)].observe(seconds)

    def answered_aside(self, route: str, status: int, seconds: float | None) -> None:
        """Count one request of any other route; of the console's all together, or there would be too many series.

        One whose answer lasts as long as its reader stays has no `seconds`.
        """
        about = CONSOLE if route.startswith(CONSOLE) else route
        self.requests[about, f"{status // 100}xx"].inc()
        if seconds is not None:
            timed = INFER if about.endswith("/infer") else CONSOLE if about == CONSOLE else OTHER
            self.request_seconds[(timed,)].observe(seconds)

    def observe_log(self, figures: LogFigures | None) -> None:
        """Show what the log said when last asked; None where it did not answer."""
        for partition in range(PARTITIONS):
            name = f"{partition:02d}"
            self._log_entries.labels(name).set(figures.entries[partition] if figures else math.nan)
            self._log_lag.labels(name).set(figures.lag[partition] if figures else math.nan)
        self._oldest_untrained.set(figures.oldest_untrained_s if figures else math.nan)
        self._log_memory.set(figures.memory_used_ratio if figures else math.nan)
        self._log_writes.set(figures.write_ok if figures else math.nan)
        self._dead_letters.set(figures.dead_letters if figures else math.nan)

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

    def _make_log_figures(self) -> None:
        self._log_entries, self._log_lag = (
            Gauge(name, meaning, ["partition"], registry=self.registry)
            for name, meaning in (
                ("winnow_log_entries", "Entries that a partition of the log holds."),
                ("winnow_log_lag_entries", "Entries of a partition of the log that no checkpoint covers yet."),
            )
        )
        self._oldest_untrained = self._unknown(
            "winnow_log_oldest_untrained_seconds", "Age of the oldest entry that no checkpoint covers; 0 without any."
        )
        self._log_memory = self._unknown(
            "winnow_log_memory_used_ratio", "Memory that the log's server uses to its bound; NaN where it has none."
        )
        self._log_writes = self._unknown(
            "winnow_log_write_ok", "Whether the log's server wrote and rewrote its append-only file without a fault."
        )
        self._dead_letters = self._unknown("winnow_dead_letters_kept", "Dead letters that wait for somebody.")
        self.observe_log(None)

    def _unknown(self, name: str, meaning: str) -> Gauge:
        gauge = self._gauge(name, meaning)
        gauge.set(math.nan)
        return gauge

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)


def _age_s(servable: Servable) -> float:
    through_ms = servable.trained_through_ms
    return float("nan") if through_ms is None else age_s(through_ms)

"""How good the model and its labels are, as Prometheus sees it: figures, gates, versions, the live watch.

A figure that nobody has told yet is NaN, not 0: an alert on a bad figure must not fire on an absent one.
"""

import math
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trainer.gates import GATES, Verdict
from trainer.learner import Learner
from trainer.live_judgement import LiveFigures
from trainer.progressive import Quality
from trainer.publish import Published

_PUBLISH_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_FIGURES = {
    "auc_ratio": "Progressive AUC of explicit positives, all events.",
    "gauc_ratio": "Progressive GAUC of explicit positives, frozen slates, all events.",
    "window_auc_ratio": "Progressive AUC over the latest events.",
    "window_gauc_ratio": "Progressive GAUC over the latest frozen slates.",
    "window_ece_ratio": "Expected calibration error over the latest events.",
    "window_positives": "Explicit positives among the latest events.",
    "idl_target_mean_ratio": "Mean target of Inverse Dual Loss over all that was unlabelled.",
    "target_mean_ratio": "Mean of the targets in use over what was unlabelled of late; 0 where silence is a no.",
    "prior_ratio": "Share of explicit positives among recent exposures.",
    "pseudo_label_share_ratio": "Share of the latest events with pseudo-label 1.",
    "idl_one_sidedness_ratio": (
        "How far the mean target of Inverse Dual Loss is from the prior, as a factor; above 10 is a collapse."
    ),
    "target_one_sidedness_ratio": (
        "How far the mean of the targets in use is from the prior, as a factor; the gate holds a version above 10."
    ),
    "score_psi_ratio": "Population stability index of the scores of a window of events against the window before.",
}


class QualityMetrics:
    """Collectors of quality. Written by the trainer's thread only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Make the collectors."""
        self._registry = registry
        self._figures = {name: self._figure(name, meaning) for name, meaning in _FIGURES.items()}
        self._versions = self._counter("versions", "Versions by the gate's verdict.", "verdict", tuple(Verdict))
        self._failures = self._counter("gate_failures", "Versions that did not pass a gate, by gate.", "gate", GATES)
        self._publish = Histogram(
            "winnow_trainer_publish_seconds",
            "Time to export, judge and stage one version.",
            buckets=_PUBLISH_BUCKETS_S,
            registry=registry,
        )
        self._holdout = self._by_model(
            "holdout_auc_ratio", "AUC on the gate's holdout, when the last version was made.", ("candidate", "champion")
        )
        self._id_rows = self._of_spaces("id_rows", "Ids that own a row of the model's tables.")
        self._id_bound = self._of_spaces("id_rows_bound", "Ids that can own a row of the model's tables.")
        self._rollbacks = Counter(
            "winnow_trainer_automatic_rollbacks", "Champions that the live watch rolled back.", registry=registry
        )
        self._unfit = Gauge(
            "winnow_trainer_champion_unfit",
            "Whether the live watch finds a fault in what is served: 1 or 0.",
            registry=registry,
        )
        self._live_auc = self._by_model(
            "live_auc_ratio",
            "AUC of what was served of late, and of other models on the same events.",
            ("champion", "learner", "reference"),
        )
        self._live_score = self._figure(
            "live_score_ratio", "Mean score of what was served of late to the rate of positives."
        )

    def observe_publication(self, published: Published, quality: Quality, learner: Learner) -> None:
        """Count one version and show the quality behind it."""
        self._versions.labels(published.verdict.value).inc()
        self._publish.observe(published.seconds)
        for gate in published.gates:
            if not gate.holds:
                self._failures.labels(gate.name).inc()
        if published.report:
            self._holdout.labels("candidate").set(published.report.holdout_auc)
            self._holdout.labels("champion").set(published.report.champion_holdout_auc)
        for name, gauge in self._figures.items():
            gauge.set(getattr(quality, name.removesuffix("_ratio")))
        for space, table in (("users", learner.users), ("items", learner.items)):
            self._id_rows.labels(space).set(table.known_ids)
            self._id_bound.labels(space).set(table.capacity)

    def observe_live(self, figures: LiveFigures, unfit: bool) -> None:
        """Show what the live watch found."""
        self._unfit.set(unfit)
        self._live_auc.labels("champion").set(figures.champion.auc)
        self._live_auc.labels("learner").set(figures.learner.shown.auc)
        self._live_auc.labels("reference").set(figures.reference.shown.auc if figures.reference else math.nan)
        self._live_score.set(figures.champion.mean_score / figures.rate if figures.rate else math.nan)

    def observe_rollback(self) -> None:
        """Count one automatic rollback."""
        self._rollbacks.inc()

    def _figure(self, name: str, meaning: str) -> Gauge:
        gauge = Gauge(f"winnow_trainer_{name}", meaning, registry=self._registry)
        gauge.set(math.nan)
        return gauge

    def _by_model(self, name: str, meaning: str, models: Sequence[str]) -> Gauge:
        gauge = Gauge(f"winnow_trainer_{name}", meaning, ["model"], registry=self._registry)
        for model in models:
            gauge.labels(model).set(math.nan)
        return gauge

    def _of_spaces(self, name: str, meaning: str) -> Gauge:
        gauge = Gauge(f"winnow_trainer_{name}", meaning, ["space"], registry=self._registry)
        for space in ("users", "items"):
            gauge.labels(space)
        return gauge

    def _counter(self, name: str, meaning: str, label: str, values: Sequence[str]) -> Counter:
        counter = Counter(f"winnow_trainer_{name}", meaning, [label], registry=self._registry)
        for value in values:
            counter.labels(value)
        return counter

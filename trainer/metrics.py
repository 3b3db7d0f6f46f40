"""What the trainer shows to Prometheus, on a port of its own."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from contract.dead_letters import Reason
from contract.errors import SetupError
from trainer.checkpoint import Account
from trainer.labels import LABEL_NAMES
from trainer.live_judgement import LiveFigures
from trainer.progressive import Quality
from trainer.publish import Published
from trainer.step_report import StepReport
from trainer.timeliness import Timeliness


class TrainerMetrics:
    """Collectors on a private registry; `serve` opens the port."""

    def __init__(self) -> None:
        """Make the collectors."""
        self.registry = registry = CollectorRegistry()
        self._events = Gauge(
            "winnow_trainer_events", "Events read, by what became of them", ["outcome"], registry=registry
        )
        self._labels = Counter("winnow_trainer_labels", "Events by label", ["label"], registry=registry)
        self._directions = Counter(
            "winnow_trainer_directions", "Inverse Gradient's decisions", ["direction"], registry=registry
        )
        self._acknowledged = Gauge(
            "winnow_trainer_acknowledged_timestamp_seconds",
            "Time of acknowledgement up to which every event is learned",
            registry=registry,
        )
        self._waiting = Gauge("winnow_trainer_waiting_entries", "Log entries read but not yet over", registry=registry)
        self._checkpoint = Gauge(
            "winnow_trainer_checkpoint_timestamp_seconds", "When the last checkpoint was written", registry=registry
        )
        self._versions = Counter(
            "winnow_trainer_versions", "Versions by the gate's verdict", ["verdict"], registry=registry
        )
        self._publish = Histogram(
            "winnow_trainer_publish_seconds",
            "Export, judge and stage of one version",
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
            registry=registry,
        )
        self._dead_letters = Counter(
            "winnow_trainer_dead_letters", "Dead letters written, by reason", ["reason"], registry=registry
        )
        for reason in Reason:
            self._dead_letters.labels(reason.value)
        self._untimely = Counter(
            "winnow_trainer_untimely_events",
            "Events that say they happened 7 days before their acknowledgement, or 5 minutes after",
            ["when"],
            registry=registry,
        )
        for when in ("late", "future"):
            self._untimely.labels(when)
        self._regressions = Counter(
            "winnow_trainer_stream_regressions",
            "Partitions found without what was learned from them, and read anew",
            registry=registry,
        )
        self._gaps = Counter(
            "winnow_trainer_stream_gaps", "Partitions found with entries deleted before they were read",
            registry=registry,
        )  # fmt: skip
        self._broken = Gauge(
            "winnow_trainer_unreadable_partitions", "Partitions whose key is no stream", registry=registry
        )
        self._disk_full = Gauge(
            "winnow_trainer_disk_full", "1 while the trainer waits for space, else 0", registry=registry
        )
        self._rollbacks = Counter(
            "winnow_trainer_automatic_rollbacks", "Champions that the live watch rolled back", registry=registry
        )
        self._unfit = Gauge(
            "winnow_trainer_champion_unfit", "1 while the live watch finds a fault in what is served", registry=registry
        )
        self._live_auc = Gauge(
            "winnow_trainer_live_auc_ratio", "AUC of what was served of late, and of other models on the same events",
            ["model"], registry=registry,
        )  # fmt: skip
        self._live_score = Gauge(
            "winnow_trainer_live_score_ratio", "Mean score of what was served of late to the rate of positives",
            registry=registry,
        )  # fmt: skip
        self._quality = {
            name: Gauge(f"winnow_trainer_{name}_ratio", help_, registry=registry)
            for name, help_ in {
                "auc": "Progressive AUC of explicit positives, all events",
                "gauc": "Progressive GAUC of explicit positives, frozen slates",
                "window_auc": "Progressive AUC over the latest events",
                "window_ece": "Expected calibration error over the latest events",
                "idl_target_mean": "Mean target of Inverse Dual Loss",
                "prior": "Share of explicit positives among recent exposures",
                "pseudo_label_share": "Share of the latest events with pseudo-label 1",
            }.items()
        }
        self._quality |= {
            "idl_one_sidedness": Gauge(
                "winnow_trainer_idl_one_sidedness_ratio",
                "How far the mean target of Inverse Dual Loss is from the prior, as a factor; above 10 is a collapse",
                registry=registry,
            ),
            "target_one_sidedness": Gauge(
                "winnow_trainer_target_one_sidedness_ratio",
                "The same of the targets in use; the gate holds a version above 10",
                registry=registry,
            ),
        }

    def serve(self, host: str, port: int) -> None:
        """Answer GET /metrics on a daemon thread. Raises SetupError if the address is taken."""
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            raise SetupError(
                f"cannot show metrics on {host} port {port} ({error.strerror}); stop what uses it, or set "
                "WINNOW_TRAINER_METRICS_PORT (0 turns them off)"
            ) from error

    def observe_step(self, report: StepReport) -> None:
        """Count one step."""
        for label, name in LABEL_NAMES.items():
            self._labels.labels(name).inc(int((report.label == label).sum()))
        if report.decision:
            self._directions.labels(report.decision.direction.value).inc()

    def observe_progress(self, account: Account, waiting_entries: int) -> None:
        """Show the account."""
        for outcome in ("trained", "held_out", "capped", "duplicates", "dead"):
            self._events.labels(outcome).set(getattr(account, outcome))
        self._acknowledged.set(account.acknowledged_ms / 1000)
        self._waiting.set(waiting_entries)

    def observe_dead_letter(self, reason: Reason) -> None:
        """Count one letter."""
        self._dead_letters.labels(reason.value).inc()

    def observe_times(self, times: Timeliness) -> None:
        """Count the late and the future events of a batch."""
        self._untimely.labels("late").inc(times.late)
        self._untimely.labels("future").inc(times.future)

    def observe_regressions(self, partitions: int) -> None:
        """Count partitions that are read anew."""
        self._regressions.inc(partitions)

    def observe_gap(self) -> None:
        """Count a partition with entries that nobody read."""
        self._gaps.inc()

    def observe_broken(self, partitions: int) -> None:
        """Show how many partitions cannot be read."""
        self._broken.set(partitions)

    def observe_disk(self, full: bool) -> None:
        """Show whether the trainer waits for space."""
        self._disk_full.set(full)

    def observe_checkpoint(self) -> None:
        """Note that a checkpoint was written now."""
        self._checkpoint.set(time.time())

    def observe_live(self, figures: LiveFigures, unfit: bool) -> None:
        """Show what the live watch found."""
        self._unfit.set(unfit)
        self._live_auc.labels("champion").set(figures.champion.auc)
        self._live_auc.labels("learner").set(figures.learner.shown.auc)
        if figures.reference:
            self._live_auc.labels("reference").set(figures.reference.shown.auc)
        self._live_score.set(figures.champion.mean_score / figures.rate if figures.rate else float("nan"))

    def observe_rollback(self) -> None:
        """Count one automatic rollback."""
        self._rollbacks.inc()

    def observe_publication(self, published: Published, quality: Quality) -> None:
        """Count one version and show the quality behind it."""
        self._versions.labels(published.verdict.value).inc()
        self._publish.observe(published.seconds)
        for name, gauge in self._quality.items():
            gauge.set(getattr(quality, name))

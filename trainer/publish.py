"""From a learner to a version: export, report, judge, stage, promote."""

import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from contract.errors import ChampionPinned, VersionCorrupt
from contract.event_log import Position
from contract.manifest import MANIFEST_FILE, Manifest, TrainedThrough, digest_files
from contract.registry import Registry
from trainer.checkpoint import Account
from trainer.export import Exported, ExportedModel, export
from trainer.gates import CandidateReport, GatePolicy, Judgement, Verdict, auc_difference_error, judge_candidate
from trainer.labels import POSITIVE
from trainer.learner import Learner
from trainer.metrics_math import auc
from trainer.progressive import Quality
from trainer.settings import LearnerSettings


@dataclass(frozen=True)
class Published:
    """What became of one export."""

    version: str
    verdict: Verdict
    promoted: bool
    reasons: list[str]
    seconds: float


class Publisher:
    """Makes versions and hands them to the registry."""

    def __init__(self, registry: Registry, settings: LearnerSettings, policy: GatePolicy, keep_versions: int) -> None:
        """Publish into `registry`, keeping `keep_versions` beside champion and predecessor."""
        self.registry = registry
        self._settings = settings
        self._policy = policy
        self._keep = keep_versions
        self._champion: tuple[str, ExportedModel] | None = None

    def publish(self, learner: Learner, quality: Quality, position: Position, account: Account) -> Published:
        """Export the learner as it is now, judge it, and promote it if every gate holds and nothing is pinned."""
        started = time.monotonic()
        directory = self.registry.new_staging()
        exported = export(learner, directory)
        report = self._report(exported, learner, quality)
        judgement = judge_candidate(report, self._policy)
        manifest = self._manifest(exported, learner, quality, report, judgement, position, account)
        (directory / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1))
        number = self.registry.stage(directory, quarantine=judgement.verdict is Verdict.REJECT)
        promoted, reasons = self._promote(number, judgement)
        self.registry.prune(self._keep)
        return Published(number, judgement.verdict, promoted, reasons, time.monotonic() - started)

    def _promote(self, number: str, judgement: Judgement) -> tuple[bool, list[str]]:
        if judgement.verdict is not Verdict.PROMOTE:
            return False, judgement.reasons
        try:
            self.registry.promote(number, judgement.reasons[0])
        except ChampionPinned as error:
            return False, [str(error)]
        return True, judgement.reasons

    def _report(self, exported: Exported, learner: Learner, quality: Quality) -> CandidateReport:
        held = learner.holdout.held
        said = held.label == POSITIVE
        ours = learner.logits(held)
        champion = self._champion_model()
        theirs = champion.logits(held) if champion and len(held) else np.full(len(held), np.nan)
        holdout_auc = auc(ours, said)
        return CandidateReport(
            events=learner.stepped,
            finite=bool(np.isfinite(ours).all() and np.isfinite(exported.parity)),
            parity_gap=exported.parity,
            holdout_positives=int(said.sum()),
            holdout_auc=holdout_auc,
            champion_holdout_auc=float("nan") if champion is None else auc(theirs, said),
            holdout_auc_error=auc_difference_error(holdout_auc, int(said.sum()), int((~said).sum())),
            ece=quality.window_ece,
            log_loss=quality.window_log_loss,
            prior_log_loss=quality.window_prior_log_loss,
            pseudo_label_share=quality.pseudo_label_share,
            target_one_sidedness=quality.target_one_sidedness,
            bytes=sum(path.stat().st_size for path in exported.directory.iterdir()),
        )

    def _champion_model(self) -> ExportedModel | None:
        """Return the champion, opened once."""
        champion = self.registry.champion()
        if champion is None:
            return None
        if self._champion is None or self._champion[0] != champion.version:
            try:
                manifest = self.registry.verify(champion.version)
            except VersionCorrupt:  # the service serves on with what it has; a better one must not wait for this one
                return None
            self._champion = champion.version, ExportedModel(self.registry.path(champion.version), manifest)
        return self._champion[1]

    def _manifest(
        self,
        exported: Exported,
        learner: Learner,
        quality: Quality,
        report: CandidateReport,
        judgement: Judgement,
        position: Position,
        account: Account,
    ) -> Manifest:
        champion = self.registry.champion()
        return Manifest(
            created_ms=time.time_ns() // 1_000_000,
            producer=f"winnow {_release()}",
            backbone=self._settings.backbone,
            target=self._settings.target,
            seed=self._settings.seed,
            parent=champion.version if champion else None,
            trained_through=TrainedThrough(
                events=account.trained,
                acknowledged_ms=account.acknowledged_ms,
                event_at_ms=account.event_at_ms,
                position={str(partition): str(at) for partition, at in position.items()},
            ),
            prior=learner.evidence.positive_rate,
            calibration=learner.annotator.calibration,
            metrics=_metrics(quality, report),
            verdict=judgement.verdict.value,
            reasons=judgement.reasons,
            indexes=exported.indexes,
            side_rows=self._settings.side_rows,
            history=exported.history,
            files=digest_files(exported.directory),
        )


def _metrics(quality: Quality, report: CandidateReport) -> dict[str, float | None]:
    figures = {
        "auc": quality.auc,
        "gauc": quality.gauc,
        "window_auc": quality.window_auc,
        "window_log_loss": quality.window_log_loss,
        "window_ece": quality.window_ece,
        "long_view_auc": quality.long_view_auc,
        "positives": float(quality.positives),
        "holdout_auc": report.holdout_auc,
        "holdout_positives": float(report.holdout_positives),
        "champion_holdout_auc": report.champion_holdout_auc,
        "parity_gap": report.parity_gap,
    }
    return {name: value if np.isfinite(value) else None for name, value in figures.items()}


def _release() -> str:
    try:
        return version("winnow-denoise")
    except PackageNotFoundError:
        return "from source"

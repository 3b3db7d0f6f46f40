"""From a learner to a version: export, report, judge, stage, promote.

A version is a delta on the last whole one while that is recent, most rows are as they were, and those that a delta
leaves alone would still be scored as they were: they, too, drift with the weights that all rows share.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from contract.durable import sha256_of
from contract.errors import ChampionPinned, VersionCorrupt
from contract.event_log import Position
from contract.judgement import finite_or_none, write_judgement
from contract.manifest import MANIFEST_FILE, Manifest, TrainedThrough, digest_files, sealed
from contract.registry import Registry
from contract.release import release
from contract.space import SPACES, check_finite
from contract.tables import Base, Tables, open_tables
from models.backbone import RowWise
from trainer.checkpoint import Account
from trainer.export import Exported, Whole, export
from trainer.gates import (
    CandidateReport,
    Gate,
    GatePolicy,
    Judgement,
    Verdict,
    auc_difference_error,
    figures_of,
    judge_candidate,
    unfit,
)
from trainer.labels import POSITIVE
from trainer.learner import Learner
from trainer.metrics_math import auc
from trainer.opened import OpenedVersion
from trainer.progressive import Quality
from trainer.served import Served
from trainer.settings import LearnerSettings

_DRIFT_PAIRS = 512


@dataclass(frozen=True)
class DeltaPolicy:
    """When a version may be a delta."""

    whole_every_s: float = 60.0  # at least this often a whole version is made, if that takes
    max_whole_share: float = 0.1  # no more of the time than this
    max_changed_share: float = 0.5  # of the rows in use
    max_drift: float = 0.05  # root mean square over the logits of pairs that are looked at


@dataclass(frozen=True)
class Published:
    """What became of one export."""

    version: str  # empty where nothing was fit to be written
    delta: bool
    verdict: Verdict
    promoted: bool
    reasons: list[str]
    seconds: float
    gates: tuple[Gate, ...]  # every one that was asked
    report: CandidateReport | None  # what they looked at; None where nothing was fit to be looked at


class Publisher:
    """Makes versions and hands them to the registry."""

    def __init__(
        self,
        registry: Registry,
        settings: LearnerSettings,
        policy: GatePolicy,
        keep_versions: int,
        deltas: DeltaPolicy | None = None,
    ) -> None:
        """Publish into `registry`, keeping `keep_versions` beside champion and predecessor."""
        self.registry = registry
        self.served = Served(registry)
        self._settings = settings
        self._policy = policy
        self._keep = keep_versions
        self._deltas = deltas or DeltaPolicy()
        self._whole: Whole | None = None  # of this learner: after a restart the first version is whole
        self._whole_due = 0.0

    def publish(
        self,
        learner: Learner,
        quality: Quality,
        position: Position,
        account: Account,
        check: Callable[[], None] = lambda: None,
    ) -> Published:
        """Export the learner as it is now, judge it, and promote it if every gate holds and nothing is pinned.

        A learner with a number that is not finite is rejected unwritten. Raises OSError where the registry cannot be
        written: the champion stays, and what was begun is left in staging. `check` is asked before a version is
        staged and before it is promoted, for the export may have taken long; what it raises ends the publication.
        """
        started = time.monotonic()
        if sick := not_finite(learner):
            reason = f"{', '.join(sick)} of the learner is not finite; see its checkpoints"
            took_s = time.monotonic() - started
            return Published("", False, Verdict.REJECT, False, [reason], took_s, (unfit(reason),), None)
        exported, opened = self._export(learner)
        report = self._report(exported, opened, learner, quality)
        judgement = judge_candidate(report, self._policy)
        write_judgement(exported.directory, figures_of(judgement))
        manifest = self._manifest(exported, learner, quality, report, judgement, position, account)
        (exported.directory / MANIFEST_FILE).write_text(sealed(manifest).model_dump_json(indent=1))
        rejected = judgement.verdict is Verdict.REJECT
        try:
            check()
        except BaseException:
            shutil.rmtree(exported.directory)
            raise
        number = self.registry.stage(exported.directory, quarantine=rejected)
        if exported.layout.base is None and not rejected:
            digest = sha256_of(self.registry.path(number) / MANIFEST_FILE)
            self._whole = Whole(Base(version=number, manifest_sha256=digest), opened.tables)
            learner.changed.clear()
            took_s = time.monotonic() - started
            self._whole_due = started + max(self._deltas.whole_every_s, took_s / self._deltas.max_whole_share)
        check()
        promoted, reasons = self._promote(number, judgement)
        if promoted:
            self.served.keep(number, opened)
        self.registry.prune(self._keep)
        seconds, delta = time.monotonic() - started, exported.layout.base is not None
        verdict, gates = judgement.verdict, judgement.gates
        return Published(number, delta, verdict, promoted, reasons, seconds, gates, report)

    def start_anew(self) -> None:
        """Make the next version whole: a delta cannot take out what its base holds."""
        self._whole = None

    def _export(self, learner: Learner) -> tuple[Exported, OpenedVersion]:
        """Write a delta if one will do, else a whole version; return it with what it looks like from outside."""
        whole = self._whole
        if whole is not None and self._delta_will_do(learner, whole):
            exported, opened = self._write(learner, whole)
            if drift(opened, learner) <= self._deltas.max_drift:
                return exported, opened
            shutil.rmtree(exported.directory)
        return self._write(learner, None)

    def _delta_will_do(self, learner: Learner, whole: Whole) -> bool:
        if not isinstance(learner.backbone, RowWise) or time.monotonic() >= self._whole_due:
            return False
        spaces = ("users", "items")
        changed = sum(len(learner.changed.kept(space, whole.rows(space))) for space in spaces)
        changed += sum(len(learner.changed.reowned(space)) for space in spaces)
        in_use = learner.rows_in_use()
        return changed <= self._deltas.max_changed_share * (in_use.users + in_use.items)

    def _write(self, learner: Learner, whole: Whole | None) -> tuple[Exported, OpenedVersion]:
        exported = export(learner, self.registry.new_staging(), whole)
        tables = open_tables(exported.directory, exported.layout, whole.tables if whole else None)
        return exported, OpenedVersion(exported.directory, tables)

    def _promote(self, number: str, judgement: Judgement) -> tuple[bool, list[str]]:
        if judgement.verdict is not Verdict.PROMOTE:
            return False, judgement.reasons
        try:
            self.registry.promote(number, judgement.reasons[0])
        except ChampionPinned as error:
            return False, [str(error)]
        return True, judgement.reasons

    def _report(self, exported: Exported, opened: OpenedVersion, learner: Learner, quality: Quality) -> CandidateReport:
        held = learner.holdout.held
        said = held.label == POSITIVE
        ours = learner.logits(held)
        served = self.served.champion()
        champion = served[1] if served else None
        theirs = np.full(len(held), np.nan)
        if champion and len(held):
            theirs = champion.logits(held.user_key, held.item_key, held.side)
        parity_gap = opened.parity_gap(exported.probe)
        holdout_auc = auc(ours, said)
        return CandidateReport(
            events=learner.stepped,
            finite=bool(np.isfinite(ours).all() and np.isfinite(parity_gap) and within_reason(opened.tables)),
            parity_gap=parity_gap,
            holdout_positives=int(said.sum()),
            holdout_auc=holdout_auc,
            champion_holdout_auc=float("nan") if champion is None else auc(theirs, said),
            holdout_auc_error=auc_difference_error(holdout_auc, int(said.sum()), int((~said).sum())),
            ece=quality.window_ece,
            window_positives=quality.window_positives,
            rate_factor=quality.window_rate_factor,
            log_loss=quality.window_log_loss,
            prior_log_loss=quality.window_prior_log_loss,
            pseudo_label_share=quality.pseudo_label_share,
            target_one_sidedness=quality.target_one_sidedness,
            bytes=sum(path.stat().st_size for path in exported.directory.iterdir()),
        )

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
            producer=f"winnow {release()}",
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
            calibration=exported.calibration,
            metrics=_metrics(quality, report),
            verdict=judgement.verdict.value,
            reasons=judgement.reasons,
            layout=exported.layout,
            files=digest_files(exported.directory),
        )


def not_finite(learner: Learner) -> list[str]:
    """Return the names of the learner's scalars and tables that hold a number that is not finite."""
    tables = learner.evidence.tables()
    found = {
        "prior": [learner.evidence.positive_rate],
        "calibration": list(learner.annotator.calibration.model_dump().values()),
        "belief": [*learner.annotator.coefficients, *tables.cell_llr.ravel(), *tables.histogram.ravel()],
    }
    return [name for name, numbers in found.items() if not np.isfinite(np.asarray(numbers, np.float64)).all()]


def within_reason(tables: Tables) -> bool:
    """Return whether every number of a version's own tables is one that the service would serve."""
    try:
        for space in SPACES:
            check_finite(getattr(tables, space), space)
    except VersionCorrupt:
        return False
    return True


def drift(opened: OpenedVersion, learner: Learner) -> float:
    """Return how far a version's logits are from the learner's: root mean square over known pairs drawn at random."""
    random = np.random.default_rng(learner.stepped)
    in_use = learner.rows_in_use()
    user, item = (random.integers(0, count, _DRIFT_PAIRS) for count in (in_use.users, in_use.items))
    user_key, item_key = learner.users.keys(user), learner.items.keys(item)
    owned = (user_key != 0) & (item_key != 0)
    if not owned.any():
        return 0.0
    user, item, user_key, item_key = user[owned], item[owned], user_key[owned], item_key[owned]
    side = learner.item_side[item]
    ours = learner.predict_rows(user, item, side).logit
    return float(np.sqrt(np.mean((opened.logits(user_key, item_key, side) - ours) ** 2)))


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
    return {name: finite_or_none(value) for name, value in figures.items()}

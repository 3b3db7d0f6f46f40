"""What the trainer knows, as entries of the journal. Pure; nothing here names a user or an item."""

from collections import Counter

from contract import journal
from contract.judgement import finite_or_none
from models.inverse_gradient import Direction
from trainer.checkpoint import Account
from trainer.labels import LABEL_NAMES
from trainer.progressive import Quality
from trainer.publish import Published
from trainer.step_counts import FLAGS, by_flag
from trainer.step_report import Steered, StepReport

_LABELS = {label: name.lower() for label, name in LABEL_NAMES.items()}
_SIGNS = {1: Direction.DIRECT, 0: Direction.KEEP, -1: Direction.INVERSE}


class Seen:
    """Counts of events since the trainer's start, by label, by evidence flag, and of decisions by direction."""

    def __init__(self) -> None:
        """Start at zero."""
        self.labels: Counter[str] = Counter(dict.fromkeys(_LABELS.values(), 0))
        self.flags: Counter[str] = Counter(dict.fromkeys(FLAGS, 0))
        self.directions: Counter[str] = Counter({direction.value: 0 for direction in Direction})

    def count(self, report: StepReport) -> None:
        """Count one step."""
        for label, name in _LABELS.items():
            self.labels[name] += int((report.label == label).sum())
        self.flags.update(dict(zip(FLAGS, by_flag(report.evidence.cell), strict=True)))
        if report.steered is not None:
            self.directions[decided(report).value] += 1


def decided(report: StepReport) -> Direction:
    """Return the direction of a step that had one: of most of its examples, where they differ."""
    return report.decision.direction if report.decision else report.direction


def direction_entry(report: StepReport, steered: Steered, stepped: int, acted: bool, at_ms: int) -> journal.Direction:
    """Return the entry of a step whose unlabelled part was `steered`."""
    by_sign = {sign: by_flag(steered.cell[steered.chosen == sign]) for sign in _SIGNS}
    return journal.Direction(
        at_ms=at_ms,
        stepped=stepped,
        direction=decided(report).value,
        acted=acted,
        losses={name.value: finite_or_none(loss) for name, loss in report.decision.losses.items()}
        if report.decision
        else None,
        examples=len(steered.cell),
        groups={
            flag: {direction.value: by_sign[sign][place] for sign, direction in _SIGNS.items()}
            for place, flag in enumerate(FLAGS)
        },
    )


def progress_entry(
    account: Account, waiting_entries: int, checkpoint: int, quality: Quality, seen: Seen, at_ms: int
) -> journal.Progress:
    """Return the entry of one moment; a `quality` that is some seconds old will do."""
    return journal.Progress(
        at_ms=at_ms,
        read=account.read,
        trained=account.trained,
        held_out=account.held_out,
        capped=account.capped,
        duplicates=account.duplicates,
        dead=account.dead,
        acknowledged_ms=account.acknowledged_ms,
        waiting_entries=waiting_entries,
        checkpoint=checkpoint,
        auc=finite_or_none(quality.auc),
        gauc=finite_or_none(quality.gauc),
        window_auc=finite_or_none(quality.window_auc),
        window_ece=finite_or_none(quality.window_ece),
        window_positives=quality.window_positives,
        prior=finite_or_none(quality.prior),
        idl_target_mean=finite_or_none(quality.idl_target_mean),
        target_mean=finite_or_none(quality.target_mean),
        pseudo_label_share=finite_or_none(quality.pseudo_label_share),
        labels=dict(seen.labels),
        flags=dict(seen.flags),
        directions=dict(seen.directions),
    )


def version_entry(published: Published, quality: Quality, account: Account, at_ms: int) -> journal.Version:
    """Return the entry of one publication and of the quality behind it."""
    return journal.Version(
        at_ms=at_ms,
        version=published.version or None,
        verdict=published.verdict.value,
        promoted=published.promoted,
        reasons=published.reasons,
        seconds=published.seconds,
        delta=published.delta,
        trained_through_ms=account.acknowledged_ms,
        auc=finite_or_none(quality.auc),
        gauc=finite_or_none(quality.gauc),
        window_ece=finite_or_none(quality.window_ece),
        bytes=published.report.bytes if published.report else 0,
    )

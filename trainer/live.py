"""The live watch: judges what is really served on what really comes, and goes back by itself (promise P5).

Every batch, a sample of its events is scored by the champion as the registry has it and by the reference, beside what
the learner itself said of them. All explicit positives are in the sample, of the rest a share that the key decides;
the rate is put right for that. The figures are of a sliding window of what users saw, whoever was champion. A champion
that is not fit is rolled back to the reference and pinned; the pin is lifted when the learner is as good again.

The reference is a whole version that was served, was then watched on as a candidate over a window of its own, and had
no fault. It is noted in the registry, which keeps it. The learner, its batches and its checkpoints know nothing of the
watch (promise P3): after a restart the window fills anew.
"""

import time

import numpy as np
import numpy.typing as npt
import structlog

from contract.errors import RegistryError
from contract.events import Events
from contract.pointer import TRAINER, Champion
from contract.registry import Registry
from contract.side import SideRows, side_rows
from trainer.labels import POSITIVE
from trainer.live_judgement import Act, Against, LiveFigures, LiveJudgement, LivePolicy, Shown, is_healthy, judge_live
from trainer.metrics import TrainerMetrics
from trainer.metrics_math import paired_auc
from trainer.opened import OpenedVersion
from trainer.publish import Publisher
from trainer.step_report import StepReport

WINDOW = 2_048  # sampled events: with 2 % of positives and a share of 0.05, some 30,000 of the log
JUDGE_EVERY = 1_024  # sampled events
AT_ONCE = 512  # sampled events that are scored together, while the champion stays the same
MOST_OF_A_STEP = 512  # sampled events
CANDIDATE_EVENTS = 1_024  # sampled events over which a candidate is watched
AUTOMATIC = "automatic: "
MOST_DOUBLINGS = 8

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
log = structlog.get_logger()

_SAID, _WEIGHT = 0, 1
_CHAMPION, _LEARNER, _REFERENCE, _CANDIDATE = (slice(n, n + 2) for n in (2, 4, 6, 8))  # logit, score
_COLUMNS = 10


class LiveWatch:
    """One window. `observe` every step."""

    def __init__(self, publisher: Publisher, metrics: TrainerMetrics, share: float, time_share: float) -> None:
        """Watch the champion of `publisher`'s registry; `share` of what is no positive is looked at, 0 = no watch.

        After each look it rests until that look was no more than `time_share` of the time.
        """
        self._publisher = publisher
        self._metrics = metrics
        self._share = share
        self._time_share = time_share
        self._rest_until = 0.0
        self._policy = LivePolicy()
        self._reference = self._registry.healthy()
        self._candidate: str | None = None
        self._rollbacks = 0
        self._by: str | None = None  # the last change of the champion, other than by the trainer's promoting the next
        self._told = False
        self._champion: tuple[Champion, OpenedVersion]  # when the latest events came
        self._begin()

    @property
    def _registry(self) -> Registry:
        return self._publisher.registry

    def _begin(self) -> None:
        """Forget the window."""
        self._window = np.full((WINDOW, _COLUMNS), np.nan)
        self._since = 0  # sampled events since the window began
        self._unjudged = 0
        self._waiting: list[tuple[Events, Floats]] = []  # to be scored by the champion they came under

    def observe(self, report: StepReport) -> None:
        """Score a sample of what a step saw, and judge when enough has come. Never raises for a fault of the registry.

        The champion cannot know the step's events: it was published before.
        """
        started = time.monotonic()
        if self._share <= 0 or started < self._rest_until:
            return
        chosen, weight = sampled(report, self._share)
        if not len(chosen):
            return
        try:
            self._observe(report, chosen, weight)
        except (RegistryError, OSError) as error:  # the next batch tries again; learning goes on
            log.warning("live_watch_failed", error=str(error))
        ended = time.monotonic()
        self._rest_until = ended + (ended - started) * (1.0 / self._time_share - 1.0)

    def _observe(self, report: StepReport, chosen: Places, weight: Floats) -> None:
        served = self._publisher.served.champion()
        if self._waiting and (served is None or served[0] != self._champion[0]):
            self._score()
        if served is None:
            return
        self._champion = served
        self._notice(served[0])
        self._waiting.append((report.events.take(chosen), rows_of(report, chosen, weight)))
        if sum(len(rows) for _, rows in self._waiting) >= AT_ONCE:
            self._score()
        if self._unjudged >= JUDGE_EVERY:
            self._unjudged = 0
            self._judge(served[0])
            self._watch_candidate(served[0])

    @property
    def _rows(self) -> Floats:
        """The rows there are, in no order; a view."""
        return self._window[: min(self._since, WINDOW)]

    def _notice(self, champion: Champion) -> None:
        """Begin anew when somebody chose another champion: what was served until then says nothing of it."""
        by = None if champion.who == TRAINER and champion.act == "promote" else f"{champion.version} {champion.act}"
        if by is not None and by != self._by:
            self._begin()
        self._by = by

    def _score(self) -> None:
        """Put what waits in the window, scored by the champion that stood when it came."""
        events, rows = Events.concatenate([part for part, _ in self._waiting]), [rows for _, rows in self._waiting]
        found = np.concatenate(rows)
        self._waiting = []
        versions = [(_CHAMPION, self._champion[1])]
        for columns, version in ((_REFERENCE, self._reference), (_CANDIDATE, self._candidate)):
            opened = self._publisher.served.open(version) if version else None
            versions += [(columns, opened)] if opened else []
        sides: dict[int, SideRows] = {}
        for columns, opened in versions:
            among = len(opened.tables.sides.terms)
            if among not in sides:
                sides[among] = side_rows(events.surface, events.author_id, events.tags, events.duration_ms, among)
            found[:, columns] = np.stack(opened.answers(events.user_key, events.item_key, sides[among]), 1)
        self._window[(self._since + np.arange(len(found))) % WINDOW] = found
        self._since += len(found)
        self._unjudged += len(found)

    def _judge(self, champion: Champion) -> None:
        by_itself = champion.pinned and champion.who == TRAINER and champion.why.startswith(AUTOMATIC)
        reference = None if self._reference == champion.version else _REFERENCE
        figures = figures_of(self._rows, _CHAMPION, reference)
        judgement = judge_live(figures, self._policy, pinned=champion.pinned, by_itself=by_itself)
        self._metrics.observe_live(figures, unfit=judgement.act in (Act.TELL, Act.ROLL_BACK))
        if judgement.act is Act.ROLL_BACK:
            self._roll_back(champion, judgement)
        elif judgement.act is Act.LIFT and self._since >= CANDIDATE_EVENTS << min(self._rollbacks, MOST_DOUBLINGS):
            if self._registry.lift(champion.version, AUTOMATIC + "; ".join(judgement.reasons)):
                log.info("champion_lifted", version=champion.version, reasons=judgement.reasons)
        elif judgement.act is Act.TELL and not self._told:
            log.warning("champion_unfit", version=champion.version, pinned=champion.pinned, reasons=judgement.reasons)

        self._told = judgement.act is Act.TELL

    def _roll_back(self, champion: Champion, judgement: LiveJudgement) -> None:
        why = AUTOMATIC + "; ".join(judgement.reasons)
        to = self._registry.rollback(why, to=self._reference, over_a_pin=False)
        self._rollbacks += 1
        self._publisher.start_anew()  # no delta may stand on what may be at fault
        self._candidate = None
        self._begin()
        self._by = f"{to.version} {to.act}"
        self._metrics.observe_rollback()
        log.error("champion_rolled_back", version=champion.version, to=to.version, reasons=judgement.reasons)

    def _watch_candidate(self, champion: Champion) -> None:
        """Note a version that was watched long enough as healthy, and choose the next while the trainer promotes."""
        candidate = self._candidate
        if candidate is not None:
            watched = self._rows[np.isfinite(self._rows[:, _CANDIDATE.start])]
            figures = figures_of(watched, _CANDIDATE, _REFERENCE if self._reference else None)
            if len(watched) < CANDIDATE_EVENTS or figures.positives < self._policy.min_positives:
                return
            if is_healthy(figures, self._policy):
                self._registry.note_healthy(candidate)
                self._reference = candidate
                kept = np.isfinite(self._rows[:, _CANDIDATE.start])
                self._rows[kept, _REFERENCE] = self._rows[kept, _CANDIDATE]
            self._candidate = None
        whole = self._registry.base_of(champion.version) or champion.version
        if not champion.pinned and whole != self._reference:
            self._registry.note_candidate(whole)
            self._candidate = whole
            self._rows[:, _CANDIDATE] = np.nan


def sampled(report: StepReport, share: float) -> tuple[Places, Floats]:
    """Return the places of the events to be scored, and how many events each stands for. Shapes [n].

    Positives, and a share of the rest, but of a step no more than MOST_OF_A_STEP. What is over a cap is left out.
    """
    said = report.label == POSITIVE
    drawn = (report.events.event_key & np.uint64(0xFFFFFF)).astype(np.float64) < share * 2.0**24
    chosen = np.flatnonzero((drawn | said) & ~report.capped)
    stride = -(-len(chosen) // MOST_OF_A_STEP) or 1
    chosen = chosen[::stride]
    return chosen, stride * np.where(said[chosen], 1.0, 1.0 / share)


def rows_of(report: StepReport, chosen: Places, weight: Floats) -> Floats:
    """Return rows of the window with what the learner knows. Shape [n, 10]."""
    rows = np.full((len(chosen), _COLUMNS), np.nan)
    rows[:, _SAID], rows[:, _WEIGHT] = report.label[chosen] == POSITIVE, weight
    rows[:, _LEARNER] = np.stack([report.logit[chosen], report.score[chosen]], 1)
    return rows


def figures_of(rows: Floats, judged: slice, reference: slice | None) -> LiveFigures:
    """Return the figures of one of the models of a window beside the others. Shape [n, 10]."""
    rows = rows[np.isfinite(rows[:, [judged.start, _LEARNER.start]]).all(1)]
    said, weight = rows[:, _SAID] == 1.0, rows[:, _WEIGHT]

    def shown(auc: float, model: slice, part: npt.NDArray[np.bool_]) -> Shown:
        return Shown(auc, float((rows[part, model.stop - 1] * weight[part]).sum() / (weight[part].sum() or 1.0)))

    def against(model: slice) -> tuple[float, Against]:
        part = np.isfinite(rows[:, model.start])
        pair = paired_auc(rows[part, judged.start], rows[part, model.start], said[part])
        return pair.first, Against(shown(pair.second, model, part), pair.first - pair.second, pair.error)

    positives = int(said.sum())
    auc, learner = against(_LEARNER)
    beside = against(reference)[1] if reference is not None else None
    return LiveFigures(
        positives=positives,
        rate=float(weight[said].sum() / (weight.sum() or 1.0)),
        champion=shown(auc, judged, np.ones(len(rows), np.bool_)),
        learner=learner,
        reference=beside if beside and np.isfinite(beside.ahead) else None,
    )

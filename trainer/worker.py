"""The loop: read, label, learn, checkpoint, publish the position, trim, maybe a version. Plain and synchronous.

Batches are cut by the log's own ids: a batch never crosses a window of `window_ms` of server time, and a window is
learned once it is over. So batches do not depend on when the trainer read or crashed, and a run with crashes ends
bitwise equal to a run without (promise P3).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import groupby

import structlog

from contract.dead_letters import DeadLetters
from contract.errors import CheckpointError
from contract.event_log import BEGINNING, Anchors, Entry, EventLog, Position
from contract.events import Events
from contract.hashing import PARTITIONS
from contract.log_claim import LogClaim
from trainer.aside import Aside
from trainer.caps import Caps
from trainer.checkpoint import Account, Checkpoint, CheckpointStore, fingerprint_of
from trainer.chronicle import Chronicle
from trainer.dedupe import Dedupe
from trainer.forget import Forgetting, runs
from trainer.irregular import Irregular
from trainer.label_log import LabelLog
from trainer.learner import Learner
from trainer.live import LiveWatch
from trainer.metrics import TrainerMetrics
from trainer.progressive import Progressive
from trainer.publish import Published, Publisher
from trainer.reading import Reach, Reader
from trainer.settings import TrainerSettings
from trainer.stateful import State
from trainer.step_report import StepReport
from trainer.suspects import Condemned, Suspects
from trainer.timeliness import timeliness
from trainer.within_caps import step_within

log = structlog.get_logger()


class Worker:
    """One trainer at work. `attach` once, then `advance`, `checkpoint` and `publish`, or `drain` a log."""

    def __init__(
        self,
        settings: TrainerSettings,
        event_log: EventLog,
        store: CheckpointStore,
        labels: LabelLog,
        publisher: Publisher,
        metrics: TrainerMetrics,
        suspects: Suspects,
        letters: DeadLetters,
        chronicle: Chronicle,
    ) -> None:
        """Wire the parts; nothing is read yet."""
        self.settings = settings
        self.log = event_log
        self.store = store
        self.labels = labels
        self.publisher = publisher
        self.metrics = metrics
        self.suspects = suspects
        self.chronicle = chronicle
        self.claim = LogClaim(event_log)
        self.irregular = Irregular(self.claim, metrics)
        self.aside = Aside(letters, metrics)
        self.forgetting = Forgetting(settings.home, letters, labels)
        self.checkpoint_number = 0
        self.checkpointed = 0  # progress that the newest checkpoint covers
        self.published = 0  # progress that is in the newest version
        self._fingerprint = fingerprint_of(settings)
        self._reach = Reach(settings.read_entries, settings.window_ms)
        self._waiting = 0  # entries read of windows that are not over
        self._begin()

    def _begin(self) -> None:
        """Know nothing."""
        self.learner = Learner(self.settings)
        self.progressive = Progressive()
        self.reader = Reader(
            self.settings.batch_events, self.settings.dedupe_events, self.aside.add, self.suspects.condemned
        )
        self.caps = Caps(self.settings)
        self.live = LiveWatch(self.publisher, self.metrics, self.settings.live_share, self.settings.live_time_share)
        self.forgetting.begin()
        self.account = Account()
        self.position: Position = dict.fromkeys(range(PARTITIONS), BEGINNING)
        self.anchors: Anchors = {}
        self.rewinds: dict[int, int] = {}

    def attach(self) -> None:
        """Claim the log, and go on from the newest checkpoint, if there is one.

        Raises CheckpointError if it was made under settings that give the state another shape or meaning.
        """
        self.claim.take()
        self.suspects.take_up()
        self.go_back()
        log.info("trainer_attached", checkpoint=self.checkpoint_number, trained=self.account.trained)

    def go_back(self) -> None:
        """Take up the newest checkpoint, and drop what came after it."""
        checkpoint = self.store.newest()
        self._begin()
        if checkpoint:
            if checkpoint.fingerprint != self._fingerprint:
                raise CheckpointError(
                    f"checkpoint {checkpoint.number} was made under other learner settings; go back to them, or move "
                    f"{self.store.directory} away to start anew"
                )
            self.checkpoint_number, self.account = checkpoint.number, checkpoint.account
            self.position, self.anchors = dict(checkpoint.position), dict(checkpoint.anchors)
            self.rewinds = dict(checkpoint.rewinds)
            for name, part in self._parts().items():
                part.restore(_under(f"{name}.", checkpoint.state))
        self.checkpointed = self.account.progress
        # A version from before may still know who was forgotten, and be served.
        self.published = -1 if self.account.forgotten else self.account.progress
        self.labels.forget_after(self.checkpoint_number)
        self.publisher.registry.clear_staging()
        self.irregular.look_for_gaps(self.position)

    def drain(self) -> None:
        """Work until everything in the log is learned, then checkpoint: for tests and tools."""
        while True:
            if not self.advance():
                if not self.log.lag(self.position).entries:
                    break
                time.sleep(self.settings.window_ms / 1000)
        self.checkpoint()

    def advance(self) -> bool:
        """Learn every window that is over; return whether there was one, or something else to read at once."""
        read = self.log.read_after(self.position, self._reach.count, self.anchors)
        self.irregular.tell_broken(read.broken)
        if read.lost:
            self._rewind(read.lost)
            return True
        usable, frontier_ms = self._reach.usable(read)
        try:
            for _, entries in groupby(usable, key=lambda entry: entry.id.ms // self.settings.window_ms):
                for run, tombstone in runs(list(entries)):
                    self._learn(run)
                    if tombstone:
                        self._forget(tombstone)
        except Condemned:
            self.go_back()
            return True
        if usable or not read.entries:
            self.account = replace(self.account, acknowledged_ms=max(self.account.acknowledged_ms, frontier_ms))
        self._waiting = len(read.entries) - len(usable)
        self.metrics.observe_progress(self.account, waiting_entries=self._waiting)
        self._tell()
        self.aside.send()
        return bool(usable)

    def checkpoint(self) -> None:
        """Write labels and checkpoint, then show the position and trim behind what is kept."""
        self.aside.send()
        number = self.checkpoint_number + 1
        if self.forgetting.on_disk():
            self.account = replace(self.account, forgotten_in=number)
        self.labels.write(number)
        state: State = {}
        for name, part in self._parts().items():
            state |= {f"{name}.{key}": value for key, value in part.state().items()}
        self.store.write(
            Checkpoint(
                number,
                dict(self.position),
                self.account,
                asdict(self.progressive.quality()),
                self._fingerprint,
                state,
                dict(self.anchors),
                dict(self.rewinds),
            )
        )
        self.checkpoint_number, self.checkpointed = number, self.account.progress
        self.forgetting.begin()
        self.metrics.observe_checkpoint()
        self.claim.cover(self.position, self.store.oldest_position(), self.anchors)
        self.irregular.look_for_gaps(self.position)
        self.labels.compact(self.account.acknowledged_ms, through=self.store.oldest_number())

    def holds_forgotten(self) -> bool:
        """Whether a checkpoint from before the latest tombstone is still kept: then more are written, though idle."""
        return self.store.oldest_number() < self.account.forgotten_in

    def publish(self) -> Published:
        """Make a version of what has been learned, let the gate decide, and return what became of it.

        Raises Fenced: nothing is promoted then.
        """
        self.claim.check()
        quality = self.progressive.quality()
        published = self.publisher.publish(self.learner, quality, self.position, self.account, self.claim.check)
        self.published = self.account.progress
        self.metrics.observe_publication(published, quality, self.learner)
        self.chronicle.published(published, quality, self.account)
        log.info(
            "version_published",
            version=published.version,
            verdict=published.verdict.value,
            promoted=published.promoted,
            reasons=published.reasons,
            auc=round(quality.auc, 4),
            seconds=round(published.seconds, 3),
        )
        return published

    def _learn(self, entries: list[Entry]) -> None:
        """Learn one window, in batches of at most `batch_events`."""
        for fresh in self.reader.batches(entries):
            times = timeliness(fresh.events.at_ms, fresh.acknowledged_ms)
            self.metrics.observe_times(times)
            self.account = replace(self.account, event_at_ms=max(self.account.event_at_ms, times.latest_ms))
            over = self.caps.over(fresh.events, fresh.acknowledged_ms)
            for places, report in step_within(self.learner, fresh.events, over, self._step):
                if not report.capped.any():
                    self.progressive.add(report, self.learner)
                self.live.observe(report)
                self.labels.add(report, fresh.acknowledged_ms[places])
                self.metrics.observe_step(report)
                self.chronicle.saw(report, self.learner.stepped)
                self.account = replace(
                    self.account,
                    trained=self.account.trained + len(report),
                    held_out=self.account.held_out + int(report.held_out.sum()),
                    capped=self.account.capped + int(report.capped.sum()),
                )
            self._tell()
        passed = self.reader.take_passed()
        self.account = replace(
            self.account,
            duplicates=self.account.duplicates + passed.duplicates,
            dead=self.account.dead + passed.dead,
        )
        self._reached(entries)

    def _step(self, events: Events) -> StepReport:
        """Learn one batch, after a look at those of its events that may have killed the trainer before."""
        self.suspects.look_into(events, self._try_out)
        with self.metrics.step_seconds.time(), self.suspects.learning(events):
            return self.learner.step(events)

    def _try_out(self, events: Events) -> Callable[[], object]:
        """Make a copy of the learner that learns these events and is thrown away."""
        copy = Learner(self.settings)
        copy.restore({name: part.copy() for name, part in self.learner.state().items()})
        return lambda: copy.step(events)

    def _forget(self, tombstone: Entry) -> None:
        """Forget a user here and now; what is on disk follows with the checkpoint."""
        self.forgetting.reached(tombstone, self.learner, self.caps)
        self.publisher.start_anew()
        self.account = replace(self.account, forgotten=self.account.forgotten + 1)
        self._reached([tombstone])

    def _reached(self, entries: list[Entry]) -> None:
        newest = {entry.partition: entry for entry in entries}
        self.position |= {partition: entry.id for partition, entry in newest.items()}
        self.anchors |= {partition: entry.anchor for partition, entry in newest.items()}

    def _tell(self) -> None:
        self.chronicle.tell(self.account, self._waiting, self.checkpoint_number, self.progressive.quality)

    def _rewind(self, partitions: list[int]) -> None:
        """Read partitions anew from their beginning, where the log is not the one the position was taken in.

        What was learned comes again as duplicates; the dedupe window reaches, see `trainer.loop`.
        """
        self.irregular.tell_regressed({partition: self.position[partition] for partition in partitions})
        for partition in partitions:
            self.position[partition] = BEGINNING
            self.anchors.pop(partition, None)
            self.rewinds[partition] = self.rewinds.get(partition, 0) + 1

    def _parts(self) -> dict[str, Learner | Progressive | Dedupe | Caps]:
        return {
            "learner": self.learner,
            "progressive": self.progressive,
            "dedupe": self.reader.dedupe,
            "caps": self.caps,
        }


def _under(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

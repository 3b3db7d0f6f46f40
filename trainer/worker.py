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

from contract.dead_letters import DeadLetter, DeadLetters
from contract.errors import CheckpointError
from contract.event_log import BEGINNING, Anchors, Entry, EventLog, Position, ReadResult, StreamId, stream_key
from contract.events import Events
from contract.hashing import PARTITIONS
from contract.log_claim import LogClaim
from trainer.checkpoint import Account, Checkpoint, CheckpointStore, fingerprint
from trainer.dedupe import Dedupe
from trainer.label_log import LabelLog
from trainer.learner import Learner
from trainer.metrics import TrainerMetrics
from trainer.progressive import Progressive
from trainer.publish import Publisher
from trainer.reading import Reader, over
from trainer.settings import LearnerSettings, TrainerSettings
from trainer.stateful import State
from trainer.step_report import StepReport
from trainer.suspects import Condemned, Suspects
from trainer.timeliness import timeliness

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
    ) -> None:
        """Wire the parts; nothing is read yet."""
        self.settings = settings
        self.log = event_log
        self.store = store
        self.labels = labels
        self.publisher = publisher
        self.metrics = metrics
        self.suspects = suspects
        self.letters = letters
        self.claim = LogClaim(event_log)
        self.checkpoint_number = 0
        self.checkpointed_read = 0
        self.published_read = 0
        self._fingerprint = fingerprint(_shaping(settings))
        self._count = settings.read_entries
        self._unsent: list[DeadLetter] = []
        self._broken: set[int] = set()
        self._begin()

    def _begin(self) -> None:
        """Know nothing."""
        self.learner = Learner(self.settings)
        self.progressive = Progressive()
        self.reader = Reader(
            self.settings.batch_events, self.settings.dedupe_events, self._unsent.append, self.suspects.condemned
        )
        self.account = Account()
        self.position: Position = dict.fromkeys(range(PARTITIONS), BEGINNING)
        self.anchors: Anchors = {}
        self.rewinds: dict[int, int] = {}
        self._deleted: dict[int, StreamId] = {}

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
        self.checkpointed_read = self.published_read = self.account.read
        self.labels.forget_after(self.checkpoint_number)
        self.publisher.registry.clear_staging()
        self._look_for_gaps()

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
        read = self.log.read_after(self.position, self._count, self.anchors)
        self._tell_broken(read.broken)
        if read.lost:
            self._rewind(read.lost)
            return True
        usable, frontier_ms = self._usable(read)
        try:
            for _, entries in groupby(usable, key=lambda entry: entry.id.ms // self.settings.window_ms):
                self._learn(list(entries))
        except Condemned:
            self.go_back()
            return True
        if usable or not read.entries:
            self.account = replace(self.account, acknowledged_ms=max(self.account.acknowledged_ms, frontier_ms))
        self.metrics.observe_progress(self.account, waiting_entries=len(read.entries) - len(usable))
        self._send_letters()
        return bool(usable)

    def checkpoint(self) -> None:
        """Write labels and checkpoint, then show the position and trim behind what is kept."""
        self._send_letters()
        number = self.checkpoint_number + 1
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
        self.checkpoint_number, self.checkpointed_read = number, self.account.read
        self.metrics.observe_checkpoint()
        self.claim.cover(self.position, self.store.oldest_position(), self.anchors)
        self._look_for_gaps()
        self.labels.compact(self.account.acknowledged_ms, through=self.store.oldest_number())

    def publish(self) -> None:
        """Make a version of what has been learned, and let the gate decide. Raises Fenced before anything is staged."""
        self.claim.check()
        quality = self.progressive.quality()
        published = self.publisher.publish(self.learner, quality, self.position, self.account)
        self.published_read = self.account.read
        self.metrics.observe_publication(published, quality)
        log.info(
            "version_published",
            version=published.version,
            verdict=published.verdict.value,
            promoted=published.promoted,
            reasons=published.reasons,
            auc=round(quality.auc, 4),
            seconds=round(published.seconds, 3),
        )

    def _usable(self, read: ReadResult) -> tuple[list[Entry], int]:
        """Return the entries of windows that are over, and the time below which nothing is left out.

        If not even one window came whole, the next read asks for more.
        """
        frontier_ms = read.complete_before_ms // self.settings.window_ms * self.settings.window_ms
        usable = over(read, frontier_ms)
        cut_short = len(read.entries) >= self._count
        self._count = 2 * self._count if cut_short and not usable else self.settings.read_entries
        return usable, frontier_ms

    def _learn(self, entries: list[Entry]) -> None:
        """Learn one window, in batches of at most `batch_events`."""
        for fresh in self.reader.batches(entries):
            report = self._step(fresh.events)
            self.progressive.add(report, self.learner)
            self.labels.add(report, fresh.acknowledged_ms)
            self.metrics.observe_step(report)
            times = timeliness(fresh.events.at_ms, fresh.acknowledged_ms)
            self.metrics.observe_times(times)
            self.account = replace(
                self.account,
                trained=self.account.trained + len(report),
                held_out=self.account.held_out + int(report.held_out.sum()),
                event_at_ms=max(self.account.event_at_ms, times.latest_ms),
            )
        passed = self.reader.take_passed()
        self.account = replace(
            self.account,
            duplicates=self.account.duplicates + passed.duplicates,
            dead=self.account.dead + passed.dead,
        )
        newest = {entry.partition: entry for entry in entries}
        self.position |= {partition: entry.id for partition, entry in newest.items()}
        self.anchors |= {partition: entry.anchor for partition, entry in newest.items()}

    def _step(self, events: Events) -> StepReport:
        """Learn one batch, after a look at those of its events that may have killed the trainer before."""
        self.suspects.look_into(events, self._try_out)
        with self.suspects.learning(events):
            return self.learner.step(events)

    def _try_out(self, events: Events) -> Callable[[], object]:
        """Make a copy of the learner that learns these events and is thrown away."""
        copy = Learner(self.settings)
        copy.restore({name: part.copy() for name, part in self.learner.state().items()})
        return lambda: copy.step(events)

    def _send_letters(self) -> None:
        """Put aside what could not be used; what the log does not take now is kept for the next time."""
        while self._unsent:
            letter = self._unsent[0]
            written = self.letters.put(letter)
            self._unsent.pop(0)
            if written:
                self.metrics.observe_dead_letter(letter.reason)
                log.warning("put_aside", source=letter.source, events=letter.events, reason=letter.reason.value)

    def _rewind(self, partitions: list[int]) -> None:
        """Read partitions anew from their beginning, where the log is not the one the position was taken in.

        What was learned comes again as duplicates; the dedupe window reaches, see `trainer.loop`.
        """
        for partition in partitions:
            log.error(
                "log_regressed",
                partition=partition,
                position=str(self.position[partition]),
                remedy="the log lost entries that were learned already; see why its server did, nothing is skipped",
            )
            self.position[partition] = BEGINNING
            self.anchors.pop(partition, None)
            self.rewinds[partition] = self.rewinds.get(partition, 0) + 1
        self.metrics.observe_regressions(len(partitions))

    def _look_for_gaps(self) -> None:
        """Tell of entries that somebody deleted before they were read."""
        deleted = self.claim.deleted_after(self.position)
        for partition, newest in deleted.items():
            if newest > self._deleted.get(partition, BEGINNING):
                log.error("entries_deleted_unread", partition=partition, newest=str(newest))
                self.metrics.observe_gap()
        self._deleted |= deleted

    def _tell_broken(self, broken: dict[int, str]) -> None:
        for partition in broken.keys() - self._broken:
            key = stream_key(partition)
            log.error("partition_unreadable", key=key, error=broken[partition], remedy=f"rename {key} away: no stream")
        self._broken = set(broken)
        self.metrics.observe_broken(len(broken))

    def _parts(self) -> dict[str, Learner | Progressive | Dedupe]:
        return {"learner": self.learner, "progressive": self.progressive, "dedupe": self.reader.dedupe}


def _shaping(settings: TrainerSettings) -> dict[str, object]:
    """Return the settings that a state depends on; the device and Inverse Gradient's cadence may change."""
    free = {"device", "meta", "meta_inner", "meta_rate", "meta_every", "holdout_share"}
    shaping = settings.model_dump(include=set(LearnerSettings.model_fields) - free)
    return shaping | {"dedupe_events": settings.dedupe_events}


def _under(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

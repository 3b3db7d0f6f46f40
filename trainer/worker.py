"""The loop: read, label, learn, checkpoint, publish the position, trim, maybe a version. Plain and synchronous.

Batches are cut by the log's own ids: a batch never crosses a window of `window_ms` of server time, and a window is
learned once it is over. So batches do not depend on when the trainer read or crashed, and a run with crashes ends
bitwise equal to a run without (promise P3).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import groupby
from typing import cast

import structlog

from contract.errors import CheckpointError, LogUnavailable
from contract.event_log import BEGINNING, Entry, EventLog, Position, ReadResult
from contract.hashing import PARTITIONS
from contract.tombstone import tombstone_in
from trainer.caps import Caps
from trainer.checkpoint import Account, Checkpoint, CheckpointStore, fingerprint
from trainer.dedupe import Dedupe
from trainer.forget import forget_user, record, runs, scrub_dead_letters
from trainer.label_log import LabelLog
from trainer.learner import Learner
from trainer.metrics import TrainerMetrics
from trainer.progressive import Progressive
from trainer.publish import Publisher
from trainer.reading import Reader
from trainer.settings import LearnerSettings, TrainerSettings
from trainer.stateful import State
from trainer.within_caps import step_within

log = structlog.get_logger()


class Worker:
    """One trainer at work. `attach` once, then `run` until stopped, or `drain` until the log is empty."""

    def __init__(
        self,
        settings: TrainerSettings,
        event_log: EventLog,
        store: CheckpointStore,
        labels: LabelLog,
        publisher: Publisher,
        metrics: TrainerMetrics,
    ) -> None:
        """Wire the parts; nothing is read yet."""
        self.settings = settings
        self.log = event_log
        self.store = store
        self.labels = labels
        self.publisher = publisher
        self.metrics = metrics
        self.learner = Learner(settings)
        self.progressive = Progressive()
        self.reader = Reader(settings.batch_events, settings.dedupe_events, self._put_aside)
        self.caps = Caps(settings)
        self.account = Account()
        self.position: Position = dict.fromkeys(range(PARTITIONS), BEGINNING)
        self.checkpoint_number = 0
        self._tombstones: list[Entry] = []  # reached, and not yet covered by a checkpoint
        self._fingerprint = fingerprint(_shaping(settings))
        self._published_read = 0
        self._count = settings.read_entries

    def attach(self) -> None:
        """Go on from the newest checkpoint, if there is one, and drop what came after it.

        Raises CheckpointError if it was made under settings that give the state another shape or meaning.
        """
        checkpoint = self.store.newest()
        if checkpoint:
            if checkpoint.fingerprint != self._fingerprint:
                raise CheckpointError(
                    f"checkpoint {checkpoint.number} was made under other learner settings; go back to them, or move "
                    f"{self.store.directory} away to start anew"
                )
            self.checkpoint_number, self.position = checkpoint.number, checkpoint.position
            self.account = checkpoint.account
            for name, part in self._parts().items():
                part.restore(_under(f"{name}.", checkpoint.state))
        # A version from before may still know who was forgotten, and be served.
        self._published_read = -1 if self.account.forgotten else self.account.progress
        self.labels.forget_after(self.checkpoint_number)
        self.publisher.registry.clear_staging()
        log.info("trainer_attached", checkpoint=self.checkpoint_number, trained=self.account.trained)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until told to stop, then checkpoint what has been learned."""
        checkpoint_due = publish_due = time.monotonic()
        checkpointed_read = self.account.progress
        while not stopped():
            busy = self._advance_or_wait()
            now = time.monotonic()
            if now >= publish_due and self.account.progress > self._published_read:
                self.publish()
                publish_due = time.monotonic() + self.settings.publish_every_s
            if now >= checkpoint_due and (self.account.progress > checkpointed_read or self._holds_forgotten()):
                checkpointed_read = self._checkpoint_if_possible(checkpointed_read)
                checkpoint_due = time.monotonic() + self.settings.checkpoint_every_s
            if not busy:
                time.sleep(self.settings.poll_s)
        if self.account.progress > checkpointed_read:
            self._checkpoint_if_possible(checkpointed_read)
        log.info("trainer_stopped", checkpoint=self.checkpoint_number, trained=self.account.trained)

    def drain(self) -> None:
        """Work until everything in the log is learned, then checkpoint: for tests and tools."""
        while self.log.lag(self.position).entries:
            if not self.advance():
                time.sleep(self.settings.window_ms / 1000)
        self.checkpoint()

    def advance(self) -> bool:
        """Learn every window that is over; return whether there was one."""
        read = self.log.read_after(self.position, self._count)
        usable, frontier_ms = self._usable(read)
        for _, entries in groupby(usable, key=lambda entry: entry.id.ms // self.settings.window_ms):
            for run, tombstone in runs(list(entries)):
                self._learn(run)
                if tombstone:
                    self._forget(tombstone)
        if usable or not read.entries:
            self.account = replace(self.account, acknowledged_ms=max(self.account.acknowledged_ms, frontier_ms))
        self.metrics.observe_progress(self.account, waiting_entries=len(read.entries) - len(usable))
        return bool(usable)

    def checkpoint(self) -> None:
        """Write labels and checkpoint, then show the position and trim behind what is kept."""
        number = self.checkpoint_number + 1
        if self._tombstones:
            self._forget_on_disk()
            self.account = replace(self.account, forgotten_in=number)
        self.labels.write(number)
        state: State = {}
        for name, part in self._parts().items():
            state |= {f"{name}.{key}": value for key, value in part.state().items()}
        quality = asdict(self.progressive.quality())
        self.store.write(Checkpoint(number, dict(self.position), self.account, quality, self._fingerprint, state))
        self.checkpoint_number = number
        self._tombstones = []
        self.metrics.observe_checkpoint()
        self.log.publish(self.position)
        self.log.trim_behind(self.store.oldest_position())
        self.labels.compact(self.account.acknowledged_ms, through=self.store.oldest_number())

    def publish(self) -> None:
        """Make a version of what has been learned, and let the gate decide."""
        self._published_read = self.account.progress
        quality = self.progressive.quality()
        published = self.publisher.publish(self.learner, quality, self.position, self.account)
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

    def _advance_or_wait(self) -> bool:
        try:
            return self.advance()
        except LogUnavailable as error:
            log.warning("log_unavailable", error=str(error))
            return False

    def _checkpoint_if_possible(self, checkpointed_read: int) -> int:
        """Checkpoint; a log that is away afterwards only delays the trim."""
        try:
            self.checkpoint()
        except LogUnavailable as error:
            log.warning("log_unavailable", error=str(error))
        return self.account.progress

    def _holds_forgotten(self) -> bool:
        """Whether a checkpoint from before the latest tombstone is still kept: then more are written, though idle."""
        return self.store.oldest_number() < self.account.forgotten_in

    def _usable(self, read: ReadResult) -> tuple[list[Entry], int]:
        """Return the entries of windows that are over, and the time below which nothing is left out.

        If not even one window came whole, the next read asks for more.
        """
        frontier_ms = read.complete_before_ms // self.settings.window_ms * self.settings.window_ms
        usable = [entry for entry in read.entries if entry.id.ms < frontier_ms]
        cut_short = len(read.entries) >= self._count
        self._count = 2 * self._count if cut_short and not usable else self.settings.read_entries
        return usable, frontier_ms

    def _learn(self, entries: list[Entry]) -> None:
        """Learn one window, in batches of at most `batch_events`."""
        for fresh in self.reader.batches(entries):
            over = self.caps.over(fresh.events, fresh.acknowledged_ms)
            for places, report in step_within(self.learner, fresh.events, over):
                if not report.capped.any():
                    self.progressive.add(report, self.learner)
                self.labels.add(report, fresh.acknowledged_ms[places])
                self.metrics.observe_step(report)
                self.account = replace(
                    self.account,
                    trained=self.account.trained + len(report),
                    held_out=self.account.held_out + int(report.held_out.sum()),
                    capped=self.account.capped + int(report.capped.sum()),
                    event_at_ms=max(self.account.event_at_ms, int(report.events.at_ms.max())),
                )
        passed = self.reader.take_passed()
        self.account = replace(
            self.account,
            duplicates=self.account.duplicates + passed.duplicates,
            dead=self.account.dead + passed.dead,
        )
        for entry in entries:
            self.position[entry.partition] = entry.id

    def _forget(self, tombstone: Entry) -> None:
        """Forget a user here and now; what is on disk follows with the checkpoint."""
        user_key = cast(int, tombstone_in(tombstone.block))
        forget_user(self.learner, self.caps, user_key)
        self.labels.drop_users({user_key})
        self.publisher.start_anew()
        self._tombstones.append(tombstone)
        self.account = replace(self.account, forgotten=self.account.forgotten + 1)
        self.position[tombstone.partition] = tombstone.id

    def _forget_on_disk(self) -> None:
        rows = self.labels.drop_users_on_disk({cast(int, tombstone_in(entry.block)) for entry in self._tombstones})
        letters = scrub_dead_letters(self.settings.redis_url, self._tombstones) if self.settings.redis_url else 0
        record(self.settings.home, self._tombstones)
        log.info("users_forgotten", users=len(self._tombstones), label_rows=rows, dead_letters=letters)

    def _put_aside(self, entry: Entry, reason: str) -> None:
        self.log.dead_letter(entry, reason)
        log.warning("entry_put_aside", source=f"{entry.partition}/{entry.id}", events=entry.events, reason=reason)

    def _parts(self) -> dict[str, Learner | Progressive | Dedupe | Caps]:
        return {
            "learner": self.learner,
            "progressive": self.progressive,
            "dedupe": self.reader.dedupe,
            "caps": self.caps,
        }


def _shaping(settings: TrainerSettings) -> dict[str, object]:
    """Return the settings that a state depends on; the device and Inverse Gradient's cadence may change."""
    free = {"device", "meta", "meta_inner", "meta_rate", "meta_every", "holdout_share"}
    shaping = settings.model_dump(include=set(LearnerSettings.model_fields) - free)
    return shaping | {"dedupe_events": settings.dedupe_events}


def _under(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

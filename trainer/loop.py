"""The trainer's day: when to read, checkpoint and publish, what is waited out, and what ends the process.

A log that is away and a disk that is full are waited out: nothing is acknowledged or trimmed meanwhile, and what was
learned since the last checkpoint can be learned again from the log. A disk that cannot write (EIO) ends the process,
for nobody knows what is on it; so does a newer trainer on the same log (P3, P9).

A checkpoint is due by time, and before half of the dedupe window has been read since the oldest that is kept: so what
the log still holds of what was learned always lies within the window, and can be read again without harm (decision 13).
"""

import errno
import time
from collections.abc import Callable

import structlog
from structlog.contextvars import bind_contextvars

from contract.errors import CheckpointError, LogUnavailable, RegistryError
from trainer.settings import TrainerSettings
from trainer.worker import Worker

RETRY_S = 1.0
_FULL = {errno.ENOSPC, errno.EDQUOT}
log = structlog.get_logger()


def run(worker: Worker, stopped: Callable[[], bool]) -> None:
    """Attach, and work until told to stop; then checkpoint what has been learned.

    Raises CheckpointError or RegistryError for a disk that fails, or that is full in the end; Fenced.
    """
    if not _attach(worker, stopped):
        return
    settings, full = worker.settings, False
    checkpoint_due = publish_due = time.monotonic()
    while not stopped():
        busy = not full and _advance(worker)
        if not full and time.monotonic() >= publish_due and worker.account.progress > worker.published:
            took_place = _publish(worker)
            publish_due = time.monotonic() + (settings.publish_every_s if took_place else RETRY_S)
        if checkpoint_is_due(worker, checkpoint_due) and has_news(worker):
            full = not _checkpoint(worker)
            checkpoint_due = time.monotonic() + (RETRY_S if full else settings.checkpoint_every_s)
        if not busy:
            time.sleep(settings.poll_s)
    if worker.account.progress > worker.checkpointed and not _checkpoint(worker):
        raise CheckpointError(
            f"no space for a checkpoint in {worker.store.directory}; {worker.account.progress - worker.checkpointed} "
            "events are still in the log and will be learned again: make room and start the trainer"
        )
    log.info("trainer_stopped", checkpoint=worker.checkpoint_number, trained=worker.account.trained)


def checkpoint_is_due(worker: Worker, due: float) -> bool:
    """Whether it is time, or the dedupe window asks for it."""
    return time.monotonic() >= due or worker.account.progress - worker.checkpointed >= most_between(worker.settings)


def has_news(worker: Worker) -> bool:
    """Whether another checkpoint would tell more, or bring one nearer to its end that knows who is forgotten."""
    return worker.account.progress > worker.checkpointed or worker.holds_forgotten()


def most_between(settings: TrainerSettings) -> int:
    """Return how many events may be read between two checkpoints."""
    return max(settings.dedupe_events // (2 * (settings.keep_checkpoints + 1)), 1)


def _attach(worker: Worker, stopped: Callable[[], bool]) -> bool:
    """Attach as soon as the log is there; return False if told to stop before."""
    while not stopped():
        try:
            worker.attach()
            worker.metrics.begin(worker.account, worker.store.written_at() or time.time())
            bind_contextvars(checkpoint=worker.checkpoint_number)  # for every line from here on
        except LogUnavailable as error:
            log.warning("log_unavailable", error=str(error))
            time.sleep(RETRY_S)
        else:
            return True
    return False


def _advance(worker: Worker) -> bool:
    try:
        return worker.advance()
    except LogUnavailable as error:
        log.warning("log_unavailable", error=str(error))
        return False


def _checkpoint(worker: Worker) -> bool:
    """Checkpoint; return False if the disk is full. A log that is away only delays the letters, or the trim."""
    started = time.monotonic()
    try:
        worker.checkpoint()
        worker.metrics.observe_checkpoint_time(time.monotonic() - started)
    except LogUnavailable as error:
        log.warning("log_unavailable", error=str(error))
    except OSError as error:
        if error.errno not in _FULL:
            raise CheckpointError(
                f"the disk under {worker.settings.home} failed ({error}); nothing was acknowledged since checkpoint "
                f"{worker.checkpoint_number}: replace the disk, or check it, before the trainer is started again"
            ) from error
        log.warning("disk_full", directory=str(worker.settings.home), remedy="make room; the trainer goes on by itself")
        worker.metrics.observe_disk(full=True)
        return False
    worker.metrics.observe_disk(full=False)
    bind_contextvars(checkpoint=worker.checkpoint_number)
    return True


def _publish(worker: Worker) -> bool:
    """Publish; return False if it has to be tried again."""
    try:
        worker.publish()
    except LogUnavailable as error:
        log.warning("log_unavailable", error=str(error))
        return False
    except OSError as error:
        if error.errno not in {*_FULL, None}:  # NumPy tells of a full disk without a number
            raise RegistryError(
                f"the disk under {worker.publisher.registry.directory} failed ({error}); the champion serves on: check "
                "the disk before the trainer is started again"
            ) from error
        log.warning("disk_full", directory=str(worker.publisher.registry.directory), error=str(error))
        worker.publisher.registry.clear_staging()
        return False
    return True

"""Forgetting a user, when the log says so: rows, what waits and judges, caps, label rows, dead letters.

A tombstone (`contract.tombstone`) cuts its window: what came before it is learned, then the user is forgotten, then the
rest is learned. So what a tombstone does is a function of the log, and after a crash it is done again (P3). What is on
disk is changed before the checkpoint that covers the tombstone is written, and changing it twice changes nothing more.

What is left after that checkpoint: the share that the user's events had in counts of items and features and in the
weights of all; older checkpoints and versions until they rotate out.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import structlog

from contract.blocks import decode_block, encode_block
from contract.dead_letters import DeadLetters
from contract.errors import CorruptBlock
from contract.event_log import Entry, StreamId
from contract.tombstone import tombstone_in
from trainer.caps import Caps
from trainer.label_log import LabelLog
from trainer.learner import Learner

RECORD_FILE = "forgotten.jsonl"
log = structlog.get_logger()


def runs(entries: list[Entry]) -> Iterator[tuple[list[Entry], Entry | None]]:
    """Cut a window at its tombstones: yield the entries before each, and it; None after the last."""
    run: list[Entry] = []
    for entry in entries:
        if tombstone_in(entry.block) is None:
            run.append(entry)
        else:
            yield run, entry
            run = []
    yield run, None


class Forgetting:
    """Tombstones that were reached and are not yet covered by a checkpoint."""

    def __init__(self, home: Path, letters: DeadLetters, labels: LabelLog) -> None:
        """Begin with none."""
        self._home = home
        self._letters = letters
        self._labels = labels
        self._reached: list[Entry] = []

    def begin(self) -> None:
        """Begin anew: a checkpoint covers what was reached, or is gone back to."""
        self._reached = []

    def reached(self, tombstone: Entry, learner: Learner, caps: Caps) -> None:
        """Forget the user in memory."""
        user_key = cast(int, tombstone_in(tombstone.block))
        forget_user(learner, caps, user_key)
        self._labels.drop_users({user_key})
        self._reached.append(tombstone)

    def on_disk(self) -> bool:
        """Forget on disk whom memory has forgotten; return whether there was anybody. Safe to repeat."""
        if not self._reached:
            return False
        rows = self._labels.drop_users_on_disk({cast(int, tombstone_in(entry.block)) for entry in self._reached})
        letters = scrub_dead_letters(self._letters, self._reached)
        record(self._home, self._reached)
        log.info("users_forgotten", users=len(self._reached), label_rows=rows, dead_letters=letters)
        return True


def forget_user(learner: Learner, caps: Caps, user_key: int) -> None:
    """Make a learner what it is without the user's row, examples and limits."""
    caps.forget(user_key, learner.items.keys(np.arange(1, learner.items.row_count)))
    row = learner.users.forget(user_key)
    if row:
        learner.start_rows("users", np.array([row], np.int64))
    learner.queue.drop_user(user_key)
    learner.holdout.drop_user(user_key)


def record(home: Path, tombstones: Iterable[Entry]) -> None:
    """Write down durably who was forgotten, by key, each tombstone once: a backup that is put back knows them not."""
    file = home / RECORD_FILE
    known = {json.loads(line)["entry"] for line in file.read_text().splitlines()} if file.exists() else set()
    with file.open("a") as out:
        for entry in tombstones:
            name = f"{entry.partition}/{entry.id}"
            if name not in known:
                said = {"entry": name, "user_key": f"{tombstone_in(entry.block):016x}", "asked_ms": entry.id.ms}
                out.write(json.dumps(said) + "\n")
        out.flush()
        os.fsync(out.fileno())


def scrub_dead_letters(letters: DeadLetters, tombstones: Iterable[Entry]) -> int:
    """Take users out of the dead letters from before their tombstones; return how many letters were changed.

    A block that can be decoded is put back without the user; of one that cannot, all bytes go if the key is in it.
    """
    asked = {cast(int, tombstone_in(entry.block)): entry for entry in tombstones}
    changed = 0
    for letter in letters.all():
        partition, at = letter.source.partition("#")[0].split("/")
        mine = [k for k, e in asked.items() if int(partition) == e.partition and StreamId.parse(at) < e.id]
        left = _without(letter.block, mine)
        if left != letter.block:
            letters.replace(replace(letter, block=left))
            changed += 1
    return changed


def _without(block: bytes, user_keys: list[int]) -> bytes:
    """Return a block without the events of users; nothing, where it cannot be decoded and holds one of their keys."""
    if not user_keys:
        return block
    try:
        events = decode_block(block)
    except CorruptBlock:
        return b"" if any(key.to_bytes(8, "little") in block for key in user_keys) else block
    kept = ~np.isin(events.user_key, np.array(user_keys, np.uint64))
    if kept.all():
        return block
    return encode_block(events.take(kept)) if kept.any() else b""

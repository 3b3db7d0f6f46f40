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
from pathlib import Path
from typing import Any, cast

import numpy as np
import redis

from contract.blocks import decode_block, encode_block
from contract.errors import CorruptBlock
from contract.event_log import DEAD_LETTERS_KEY, Entry, StreamId
from contract.tombstone import tombstone_in
from trainer.caps import Caps
from trainer.learner import Learner

RECORD_FILE = "forgotten.jsonl"


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


def scrub_dead_letters(url: str, tombstones: Iterable[Entry]) -> int:
    """Take users out of the dead letters from before their tombstones; return how many letters were changed.

    A block that can be decoded is put back without the user; of one that cannot, all bytes go if the key is in it.
    """
    asked = {cast(int, tombstone_in(entry.block)): entry for entry in tombstones}
    changed = 0
    with redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=5.0) as client:
        for letter_id, row in cast(list[Any], client.xrange(DEAD_LETTERS_KEY)):
            block, source = row.get(b"block", b""), row.get(b"source", b"0/0-0").decode()
            partition, at = source.split("/")
            mine = [k for k, e in asked.items() if int(partition) == e.partition and StreamId.parse(at) < e.id]
            left = _without(block, mine)
            if left != block:
                row[b"block"] = left
                with client.pipeline(transaction=True) as pipe:  # both or neither
                    pipe.xdel(DEAD_LETTERS_KEY, letter_id)
                    pipe.xadd(DEAD_LETTERS_KEY, row)
                    pipe.execute()
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

"""The champion pointer and its audit log: who changed what, when and why, and which way leads back.

`history.jsonl` holds one line a change, only ever appended to; lines of earlier releases, which name no person and no
act, are read as well. Fields that this release does not know are passed over, so that a newer writer breaks no reader.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from contract.durable import write_atomically

TRAINER = "trainer"
_TAIL_BYTES = 4 << 20  # some 20,000 changes: more than there are versions to go back to


@dataclass(frozen=True)
class Champion:
    """The version to serve, and how it came to be."""

    version: str
    previous: str | None  # where a rollback would lead, if it is still there
    pinned: bool
    why: str
    changed_ms: int
    who: str = ""  # "" in lines of an earlier release
    act: str = ""  # promote, pin, unpin or rollback; "" in lines of an earlier release
    replaced: str | None = None  # the champion until then
    through_ms: int = 0  # the log's time below which the version has learned everything; 0 where that is not known


def parse_champion(content: bytes) -> Champion:
    """Read one champion. Raises ValueError or TypeError if it is none."""
    told = json.loads(content)
    if not isinstance(told, dict):
        raise TypeError("not an object")
    known = {field.name for field in fields(Champion)}
    return Champion(**{name: value for name, value in told.items() if name in known})


def champion_line(champion: Champion) -> bytes:
    """Return a champion as one line."""
    return json.dumps(asdict(champion)).encode() + b"\n"


def read_history(path: Path, tail: bool = False) -> list[Champion]:
    """Return changes, oldest first, or only the latest with `tail`. A line cut short by a power loss is passed over."""
    changes = []
    with suppress(FileNotFoundError), path.open("rb") as file:
        if tail:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        for line in file.read().splitlines():
            with suppress(ValueError, TypeError):
                changes.append(parse_champion(line))
    return changes


def append_history(path: Path, line: bytes) -> int:
    """Append one line durably and return the size before; where the disk is full nothing of it stays."""
    with path.open("a+b") as file:
        before = file.tell()
        file.seek(max(0, before - 1))
        whole = line if file.read(1) in (b"", b"\n") else b"\n" + line  # never onto a line cut short
        try:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.ftruncate(file.fileno(), before)
            raise
    return before


def known_changes(path: Path, current: Champion) -> list[Champion]:
    """Return the latest changes; where the history was lost, the champion file alone tells of one."""
    changes = read_history(path, tail=True)
    if changes and changes[-1].version == current.version:
        return changes
    before = [Champion(current.previous, None, False, "", 0)] if current.previous else []
    return [*changes, *before, current]


def write_change(pointer: Path, history: Path, champion: Champion) -> None:
    """Change the pointer and note it in the history; where the disk is full, neither."""
    line = champion_line(champion)
    before = append_history(history, line)
    try:
        write_atomically(pointer, line)
    except OSError:  # the pointer did not change, so the history must not say so
        with suppress(OSError):
            os.truncate(history, before)
        raise


def way_back(changes: list[Champion], before_ms: int | None = None) -> list[str]:
    """Return the versions that a rollback may lead to, the first to try first.

    A promotion or pin goes one step on; a rollback goes back to where it led, and what it left is no longer on the way:
    a second one in a row leads further back. With `before_ms` the way begins at what was champion before that time.
    """
    way: list[str] = []
    then: list[str] | None = None
    for number, change in enumerate(changes):
        if before_ms is not None and then is None and change.changed_ms >= before_ms:
            then = list(way)
        if _was_rollback(change, changes[number - 1] if number else None) and change.version in way:
            while way[-1] != change.version:
                way.pop()
        elif not way or way[-1] != change.version:
            way.append(change.version)
    leading = way[:-1] if before_ms is None else (way if then is None else then)
    current = changes[-1].version if changes else None
    return [version for version in dict.fromkeys(reversed(leading)) if version != current]


def _was_rollback(change: Champion, before: Champion | None) -> bool:
    if change.act:
        return change.act == "rollback"
    return change.pinned and before is not None and change.version == before.previous

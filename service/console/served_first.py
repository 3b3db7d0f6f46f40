"""Which version first had an event: the registry's history, as far as it was ever the furthest.

A version has every event acknowledged before its `through_ms`. Of the changes only those count that went further than
all before them, so what is asked is found by halving; the file is read on from where it was read to.
"""

import os
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path

from contract.pointer import Champion, parse_champion


class ServedFirst:
    """The history of one registry, read as it grows."""

    def __init__(self, history_file: Path) -> None:
        """Read nothing yet."""
        self._file = history_file
        self._read_to = 0
        self._through_ms: list[int] = []  # rises
        self._changes: list[Champion] = []

    def of(self, acknowledged_ms: int) -> Champion | None:
        """Return the change that first made a version champion which has what was acknowledged then; None if none did.

        Lines of an earlier release do not say how far a version had learned, and are passed over.
        """
        self._read_on()
        place = bisect_right(self._through_ms, acknowledged_ms)
        return self._changes[place] if place < len(self._changes) else None

    def _read_on(self) -> None:
        with suppress(FileNotFoundError), self._file.open("rb") as file:
            if os.fstat(file.fileno()).st_size < self._read_to:  # a change that the disk had no room for was taken back
                self._read_to, self._through_ms, self._changes = 0, [], []
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    break
                self._read_to += len(line)
                with suppress(ValueError, TypeError):
                    self._note(parse_champion(line))

    def _note(self, change: Champion) -> None:
        if change.through_ms > (self._through_ms[-1] if self._through_ms else 0):
            self._through_ms.append(change.through_ms)
            self._changes.append(change)

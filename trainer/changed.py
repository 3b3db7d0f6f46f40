"""Which rows have changed since the last whole version: what a delta must carry."""

import numpy as np
import numpy.typing as npt

from contract.side import SideRows
from models.backbone import SPACES, Rows

RowNumbers = npt.NDArray[np.int64]


class Changed:
    """One flag a row and space. Noting costs what the batch has, not what the tables have."""

    def __init__(self, rows: Rows) -> None:
        """Start with nothing changed in tables of these sizes."""
        self._touched = {space: np.zeros(rows[space], np.bool_) for space in SPACES}
        self._reowned = {space: np.zeros(rows[space], np.bool_) for space in SPACES}

    def note(self, user: RowNumbers, item: RowNumbers, side: SideRows) -> None:
        """Rows were learned, or may have been. Any shapes, duplicates allowed."""
        self._touched["users"][user] = True
        self._touched["items"][item] = True
        self._touched["sides"][side] = True

    def note_owners(self, space: str, rows: RowNumbers) -> None:
        """Rows got an owner. Shape [N]."""
        self._reowned[space][rows] = True

    def kept(self, space: str, before: int) -> RowNumbers:
        """Return the changed rows under `before` that belong to whom they belonged, rising, without row 0."""
        flags = self._touched[space][:before] & ~self._reowned[space][:before]
        return np.flatnonzero(flags[1:]) + 1

    def reowned(self, space: str) -> RowNumbers:
        """Return the rows that got an owner, rising."""
        return np.flatnonzero(self._reowned[space])

    def clear(self) -> None:
        """A whole version was made: nothing has changed since."""
        for flags in (*self._touched.values(), *self._reowned.values()):
            flags.fill(False)

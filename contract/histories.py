"""Histories: each user's latest positives as item rows, oldest first, right-aligned, 0 = none.

A version that reads histories carries them as `users.history.bin`, int32 [rows of users, L], little-endian. The trainer
makes them by `merged`, one positive after another; the service continues them by the same function with positives that
are newer than the version.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.errors import VersionCorrupt
from contract.id_table import UNKNOWN_ROW, Rows

HISTORY_FILE = "users.history.bin"


def merged(history: Rows, newer: Rows) -> Rows:
    """Return one user's history after newer positives, oldest first. Shapes [L], [K] -> [L].

    Each item stands once, where it was last liked, so an item that is in both counts once. Unknown items (row 0) of
    `newer` are left out.
    """
    both = np.concatenate([history, newer])[::-1]
    distinct, latest = np.unique(both, return_index=True)
    kept = both[np.sort(latest[distinct != UNKNOWN_ROW])][: len(history)][::-1]
    result = np.zeros_like(history)
    result[len(history) - len(kept) :] = kept
    return result


def write_histories(directory: Path, histories: npt.NDArray[np.int32]) -> None:
    """Write the histories of every row of users, row 0 (all 0) included. Shape [rows of users, L]."""
    (directory / HISTORY_FILE).write_bytes(histories.astype("<i4", copy=False).tobytes())


def open_histories(directory: Path, length: int, users: int, items: int) -> npt.NDArray[np.int32]:
    """Memory-map the histories of `users` rows, read-only. Shape [users, length].

    Raises VersionCorrupt if the file has another size, if a row is not one of `items`, or if row 0 has a history.
    """
    try:
        flat = np.memmap(directory / HISTORY_FILE, dtype="<i4", mode="r")
    except (OSError, ValueError) as error:
        raise VersionCorrupt(f"{HISTORY_FILE} cannot be read ({error})") from error
    if flat.size != users * length:
        raise VersionCorrupt(
            f"{HISTORY_FILE} has {flat.size} entries, {users} users with {length} each should have {users * length}"
        )
    if flat.min() < UNKNOWN_ROW or flat.max() >= items:
        raise VersionCorrupt(f"{HISTORY_FILE} has rows past {items - 1}, or below 0")
    if flat[:length].any():
        raise VersionCorrupt(f"{HISTORY_FILE} has a history for row 0, which is every unknown user")
    return flat.reshape(users, length)

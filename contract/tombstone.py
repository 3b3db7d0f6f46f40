"""Tombstones: entries of the event log that say which user is to be forgotten.

    "WNWF" | user key: uint64, little-endian

One stands where a block would, in the user's own partition, with 0 events: so it has a place in the order of the log,
before which everything of the user is forgotten and after which they are somebody new. It never holds the id itself.
"""

from contract.event_log import EventLog, StreamId
from contract.hashing import RESERVED_KEYS

_MAGIC = b"WNWF"


def encode_tombstone(user_key: int) -> bytes:
    """Return the bytes that stand in the place of a block."""
    return _MAGIC + user_key.to_bytes(8, "little")


def tombstone_in(block: bytes) -> int | None:
    """Return the key of the user to be forgotten; None if the bytes are no tombstone."""
    if len(block) != len(_MAGIC) + 8 or not block.startswith(_MAGIC):
        return None
    key = int.from_bytes(block[len(_MAGIC) :], "little")
    return key if key >= RESERVED_KEYS else None


def append_tombstone(log: EventLog, user_key: int) -> tuple[int, StreamId]:
    """Ask the trainer to forget a user; return partition and id of the entry. Raises LogUnavailable."""
    partition = user_key >> 60
    return partition, log.append({partition: (0, encode_tombstone(user_key))})[partition]

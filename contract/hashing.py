"""64-bit keys of external ids: the one hash that the service, the log and the trainer share.

Keys are XXH3-64 of the UTF-8 text. Two reserved values mark empty and removed slots of an index, so a text that
hashes to one of them is moved to a fixed other key. Among 10 M ids the chance of any two sharing a key is 3e-6.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

Keys = npt.NDArray[np.uint64]

PARTITIONS = 16
RESERVED_KEYS = 2
_MOVED = 0x9E3779B97F4A7C15


def id_key(text: str) -> int:
    """Return the 64-bit key of one user, item or author id."""
    key = xxh3_64_intdigest(text.encode())
    return key if key >= RESERVED_KEYS else _MOVED + key


def id_keys(texts: Sequence[str]) -> Keys:
    """Return the keys of many ids. Shape [N], uint64."""
    return utf8_keys([text.encode() for text in texts])


def utf8_keys(texts: Sequence[bytes]) -> Keys:
    """Return the keys of many ids given in UTF-8. Shape [N], uint64."""
    return _unreserved(np.fromiter(map(xxh3_64_intdigest, texts), np.uint64, len(texts)))


def event_key(event_id: str, user_key: int) -> int:
    """Return the key by which duplicates are found: an event id is unique within its user.

    Binding it to the user keeps one user from silencing another's events by reusing their ids.
    """
    key = xxh3_64_intdigest(event_id.encode(), seed=user_key)
    return key if key >= RESERVED_KEYS else _MOVED + key


def event_keys(event_ids: Sequence[str], user_keys: Keys) -> Keys:
    """Return the keys of many events. Shapes [N], [N] -> [N], uint64."""
    digests = map(xxh3_64_intdigest, map(str.encode, event_ids), user_keys.tolist())
    return _unreserved(np.fromiter(digests, np.uint64, len(event_ids)))


def partitions_of(user_keys: Keys) -> npt.NDArray[np.int64]:
    """Return each user's partition of the log, from the top bits of the key. Shape [N], values 0..15."""
    return (user_keys >> np.uint64(60)).astype(np.int64)


def _unreserved(keys: Keys) -> Keys:
    small = keys < RESERVED_KEYS
    if small.any():
        keys[small] += np.uint64(_MOVED)
    return keys

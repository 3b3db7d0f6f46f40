"""The world that is served: string ids, what is asked of them, what is said of them, and versions that know them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from contract.errors import SetupError
from contract.events import ABSENT, Action, Events, action_names
from contract.hashing import event_key, id_keys

Ids = npt.NDArray[np.object_]

UNKNOWN_SHARE = 0.1
SURFACE = "feed"
LIKED_SHARE = 0.02


@dataclass(frozen=True)
class World:
    """Ids as a product might have them: random hexadecimal texts. Shapes [U], [I], [A]."""

    users: Ids
    items: Ids
    strangers: Ids  # items that no version knows
    authors: Ids

    @classmethod
    def of(cls, users: int, items: int, seed: int = 1) -> "World":
        """Return a world of that size."""
        random = np.random.default_rng(seed)
        return cls(*(_ids(random, letter, count) for letter, count in
                     (("u", users), ("v", items), ("w", items), ("a", max(1, items // 10)))))  # fmt: skip

    def requests(self, candidates: int, count: int, seed: int, **more: object) -> list[bytes]:
        """Return bodies of `POST /v1/score` with that many candidates, no item twice, a tenth of them unknown."""
        random = np.random.default_rng(seed)
        strange = round(candidates * UNKNOWN_SHARE)
        bodies = []
        for user in random.choice(self.users, count):
            items = np.concatenate(
                [
                    random.choice(self.items, candidates - strange, replace=False),
                    random.choice(self.strangers, strange, replace=False),
                ]
            )
            asked = {"user_id": user, "candidates": random.permutation(items).tolist(), "surface": SURFACE, **more}
            bodies.append(orjson.dumps(asked))
        return bodies

    def watches(self, count: int, seed: int) -> Events:
        """Return watches in columns, one in fifty with a like; users and items in turn, so that all soon are known."""
        random = np.random.default_rng(seed)
        user = np.resize(random.permutation(self.users), count)
        item = np.resize(random.permutation(self.items), count)
        ids = _ids(random, "e", count)
        user_key = id_keys(user.tolist())
        nothing = np.full(count, "", dtype=object)
        return Events(
            event_key=np.array([event_key(one, int(key)) for one, key in zip(ids, user_key, strict=True)], np.uint64),
            user_key=user_key,
            item_key=id_keys(item.tolist()),
            at_ms=np.full(count, time.time_ns() // 1_000_000),
            watch_ms=random.integers(0, 60_000, count).astype(np.int32),
            duration_ms=random.integers(5_000, 60_000, count).astype(np.int32),
            actions=np.where(random.random(count) < LIKED_SHARE, Action.LIKE.bit, 0).astype(np.uint8),
            position=np.zeros(count, np.int16),
            foreground=np.full(count, ABSENT, np.int8),
            event_id=ids,
            user_id=user,
            item_id=item,
            surface=np.full(count, SURFACE, dtype=object),
            author_id=random.choice(self.authors, count),
            tags=np.array([str(number) for number in random.integers(0, 50, count)], dtype=object),
            impression_id=nothing,
        )


def told(events: Events) -> Iterator[dict[str, object]]:
    """Yield events as a caller tells them in JSON: with ids, watch, duration, surface, author and one tag."""
    names = ("event_id", "user_id", "item_id", "at_ms", "watch_ms", "duration_ms", "surface", "author_id")
    columns = [getattr(events, name).tolist() for name in names]
    keys = [name.replace("at_ms", "at") for name in names]
    for values, mask, tag in zip(zip(*columns, strict=True), events.actions.tolist(), events.tags, strict=True):
        yield dict(zip(keys, values, strict=True)) | {"actions": action_names(mask), "tags": [tag]}


def batches(events: Events, size: int) -> list[bytes]:
    """Return bodies of `POST /v1/feedback`: arrays of `size` events, or with size 1 one event each."""
    rows = list(told(events))
    if size == 1:
        return [orjson.dumps(row) for row in rows]
    return [orjson.dumps(rows[start : start + size]) for start in range(0, len(rows), size)]


def write_bodies(bodies: list[bytes], path: Path) -> Path:
    """Write bodies, one a line, and return the path."""
    if any(b"\n" in body for body in bodies):
        raise SetupError("a body holds a line break; JSON as orjson writes it never does")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(bodies) + b"\n")
    return path


def _ids(random: np.random.Generator, letter: str, count: int) -> Ids:
    numbers = random.permutation(np.unique(random.integers(0, 2**44, count + count // 8 + 8, dtype=np.int64)))[:count]
    return np.array([f"{letter}{number:011x}" for number in numbers.tolist()], dtype=object)

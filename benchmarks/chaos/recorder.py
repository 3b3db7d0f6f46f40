"""The recorder: the log as it was written, entry by entry, before the trainer trims it.

It reads behind the writer while a run goes on, and outlives whatever is killed. What it has is what a trainer without
faults is given afterwards: the same entries under the same ids.
"""

import threading
from typing import Any, Self, cast

import redis

from contract.event_log import stream_key
from contract.hashing import PARTITIONS

Fields = dict[Any, Any]
_LOOK_S = 0.1
_COUNT = 2_000


class Recorder:
    """Copies the streams of a server. A context manager; `entries` is complete once it has been left."""

    def __init__(self, url: str) -> None:
        """Read from the server at `url`."""
        self.entries: dict[tuple[int, bytes], Fields] = {}  # by partition and id
        self._url = url
        self._last = dict.fromkeys(range(PARTITIONS), b"0-0")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._record, name="recorder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _record(self) -> None:
        with redis.Redis.from_url(self._url, socket_timeout=2.0, socket_connect_timeout=2.0) as client:
            while True:
                stopping, was = self._stopping.is_set(), len(self.entries)
                try:
                    self._look(client)
                    complete = len(self.entries) == was
                except (redis.RedisError, OSError):
                    complete = stopping  # the server is gone for good: what there was is here
                if stopping and complete:
                    return
                self._stopping.wait(_LOOK_S)

    def _look(self, client: redis.Redis) -> None:
        with client.pipeline(transaction=False) as pipe:
            for partition, last in self._last.items():
                pipe.xrange(stream_key(partition), min=b"(" + last, count=_COUNT)
            answers = pipe.execute(raise_on_error=False)
        for partition, rows in enumerate(answers):
            if isinstance(rows, Exception):
                continue
            for entry, fields in cast(list[tuple[bytes, Fields]], rows):
                self.entries[partition, entry] = fields
                self._last[partition] = entry


def play(entries: dict[tuple[int, bytes], Fields], url: str) -> None:
    """Write recorded entries into an empty server, under their own ids."""

    def order(key: tuple[int, bytes]) -> tuple[int, int, int]:
        milliseconds, sequence = key[1].split(b"-")
        return int(milliseconds), int(sequence), key[0]

    with redis.Redis.from_url(url) as client, client.pipeline(transaction=False) as pipe:
        for partition, entry in sorted(entries, key=order):
            pipe.xadd(stream_key(partition), entries[partition, entry], id=entry)
            if len(pipe) >= _COUNT:
                pipe.execute()
        pipe.execute()

"""The event log as the service uses it: append, within a deadline, as long as there is room.

Promise kept here: a returned append is on disk (P1, with `appendfsync always`).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

import redis
import redis.asyncio
from redis.backoff import NoBackoff

from contract.errors import LogFull, LogUnavailable
from contract.event_log import append_arguments, stream_key
from contract.overrides import KEPT, OVERRIDES_KEY, Override, override_fields

NOT_TRACED: Mapping[int, bytes] = {}


class AsyncEventLog:
    """The log as the service uses it: append, and how full it is. Every call has a deadline."""

    def __init__(self, url: str, timeout_s: float, max_entries: int) -> None:
        """Connect lazily. `max_entries` bounds the stored entries a partition, trained or not."""
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
        )
        self._timeout_s = timeout_s
        self._max_entries = max_entries
        self._unasked: Counter[int] = Counter()  # appends a partition may take before its length is asked for again

    async def close(self) -> None:
        """Let go of the connections."""
        await self._redis.aclose()

    async def append(
        self,
        blocks: Mapping[int, tuple[int, bytes]],
        traces: Mapping[int, bytes] = NOT_TRACED,
        override: Override | None = None,
    ) -> None:
        """Append {partition: (events, block)} in one transaction; return once the server confirms it is on disk.

        `traces` has the field `trace` (see contract.trace_parents) of those partitions that have one. An `override`,
        which says who decided the event, goes into the same transaction.

        Raises LogUnavailable if there is no confirmation in time (the append may still happen: retry with the same
        event ids), LogFull if a partition holds `max_entries`.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._check_room([partition for partition in blocks if self._unasked[partition] <= 0])
                async with self._redis.pipeline(transaction=True) as pipe:
                    for partition, (count, block) in blocks.items():
                        pipe.xadd(stream_key(partition), append_arguments(count, block, traces.get(partition, b"")))
                    if override is not None:
                        pipe.xadd(OVERRIDES_KEY, override_fields(override), maxlen=KEPT)
                    self._unasked.subtract(blocks.keys())
                    await pipe.execute()
        except (redis.RedisError, TimeoutError, OSError) as error:
            raise LogUnavailable("the event log did not confirm in time; retry with the same event ids") from error

    async def _check_room(self, partitions: Sequence[int]) -> None:
        """Ask how long partitions are. Raises LogFull if one is full.

        Of the room that is left an eighth may be taken before it is asked for again: asking each time costs a round
        trip, and others append too; up to eight that do so alike cannot overfill it.
        """
        if not partitions:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for partition in partitions:
                pipe.xlen(stream_key(partition))
            lengths = dict(zip(partitions, await pipe.execute(), strict=True))
        fullest = max(lengths.values())
        if fullest >= self._max_entries:
            raise LogFull(
                f"a partition of the event log holds {fullest} entries, the bound is {self._max_entries}; "
                "see why the trainer lags, or raise WINNOW_LOG_MAX_ENTRIES"
            )
        for partition, length in lengths.items():
            self._unasked[partition] = max((self._max_entries - length) // 8, 1)

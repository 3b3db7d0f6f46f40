"""A thread with a loop of its own for the event log: an append takes as long as the log takes (P1, P7).

One append takes half a dozen turns of a loop, a new connection as many again. Beside requests, where a busy turn takes
100 ms, that is over every deadline: each append failed, each failure cost the connection, and of five times the load
nothing at all was stored. Here the turns are short, and what it costs is one hand-over each way.
"""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any

import uvloop

from contract.async_event_log import NOT_TRACED, AsyncEventLog
from contract.overrides import Override


class LogThread:
    """An event log whose work is done in a thread of its own. To be used in one event loop."""

    def __init__(self, event_log: AsyncEventLog) -> None:
        """Take the log, which nobody else may use; the thread starts with the first append."""
        self._log = event_log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def append(
        self,
        blocks: Mapping[int, tuple[int, bytes]],
        traces: Mapping[int, bytes] = NOT_TRACED,
        override: Override | None = None,
    ) -> None:
        """Append, and raise, as the log does."""
        await self._there(self._log.append(blocks, traces, override))

    async def close(self) -> None:
        """Let go of the connections and end the thread."""
        await self._there(self._log.close())
        loop, thread = self._loop, self._thread
        assert loop is not None  # `_there` has made both
        assert thread is not None
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()
        self._loop = self._thread = None

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            self._loop = uvloop.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="event-log", daemon=True)
            self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

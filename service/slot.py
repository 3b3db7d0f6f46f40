"""The servable in use, and the task that follows the champion file.

A new version is proven in another process, opened in a worker thread and taken over by replacing one reference; no
request waits for it. A version that fails its proof is refused, remembered with its reason, counted and logged once;
the old one serves on.
"""

import asyncio
import os
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from contract.api import ServedModel
from contract.errors import RegistryError, VersionCorrupt
from contract.pointer import Champion
from contract.registry import Registry
from service.metrics import Metrics
from service.proof import open_version
from service.proven import open_proven
from service.proving import Prover
from service.servable import LoadedVersion, Servable

_NICE = 10
KEPT = 1_000  # take-overs and refusals remembered
_Identity = tuple[int, int, int]
log = structlog.get_logger()


class Slot:
    """Holds the current servable; `watch` keeps it the champion."""

    def __init__(self, registry: Registry, prior: Servable, metrics: Metrics, prover: Prover | None = None) -> None:
        """Serve `prior` until the registry has a champion that proves itself: to `prover`, else in this process."""
        self.current: Servable = prior
        self.served: deque[ServedModel] = deque(maxlen=KEPT)
        self.refused: dict[str, str] = {}
        self._registry = registry
        self._metrics = metrics
        self._prover = prover
        self._seen: _Identity | None = None
        self._postponed: str | None = None
        self._opener = ThreadPoolExecutor(1, "version-opener", None if prover else _stand_back)
        metrics.follow(lambda: self.current)

    async def watch(self, poll_s: float) -> None:
        """Follow the champion file until cancelled."""
        while True:
            await asyncio.sleep(poll_s)
            try:
                await self.poll()
            except Exception:  # a fault of ours must not end the watch: the next champion may be what mends it
                log.exception("champion_poll_failed", serving=self.current.version)

    async def poll(self) -> None:
        """Look at the champion file once, and take over what it names if that is new."""
        seen = _identity(self._registry.champion_file)
        if seen is None or seen == self._seen:
            return
        self._seen = seen
        try:
            champion = await asyncio.to_thread(self._registry.champion)
        except (RegistryError, OSError) as error:
            self._postpone(str(error))
            return
        for version in _wanted(champion, self.current):
            if version not in self.refused and await self._take_over(version):
                return

    async def _take_over(self, version: str) -> bool:
        started = time.perf_counter()
        try:
            opened = await asyncio.get_running_loop().run_in_executor(self._opener, self._open, version)
        except VersionCorrupt as error:
            self._refuse(version, str(error))
            return False
        except (RegistryError, OSError) as error:  # out of reach for now, unlike a version that is wrong
            self._postpone(str(error))
            return False
        old, self.current = [self.current], opened
        self.served.append(
            ServedModel(
                version=version,
                served_since_ms=time.time_ns() // 1_000_000,
                trained_through_ms=opened.trained_through_ms,
            )
        )
        self._postponed = None
        seconds = time.perf_counter() - started
        self._metrics.swap_seconds.observe(seconds)
        self._metrics.waiting.served(opened.trained_through_ms, time.time_ns() // 1_000_000)
        log.info("version_taken_over", version=version, seconds=round(seconds, 4))
        await asyncio.get_running_loop().run_in_executor(
            self._opener, old.clear
        )  # unmapping large tables takes a while; not on the event loop
        return True

    def _open(self, version: str) -> LoadedVersion:
        held = self.current.whole if isinstance(self.current, LoadedVersion) else None
        directory = self._registry.path(version)
        if self._prover is None:
            return open_version(directory, held)
        return open_proven(directory, self._prover.prove(directory), held)

    def _refuse(self, version: str, reason: str) -> None:
        self.refused[version] = reason
        while len(self.refused) > KEPT:
            del self.refused[next(iter(self.refused))]
        self._metrics.refused.inc()
        log.error("version_refused", version=version, reason=reason, serving=self.current.version)

    def _postpone(self, reason: str) -> None:
        """Try again at the next poll; say so once."""
        self._seen = None
        if reason != self._postponed:
            self._postponed = reason
            log.warning("registry_unreadable", reason=reason, serving=self.current.version)


def _stand_back() -> None:
    """Let requests have the processor before this thread, where threads have a priority of their own (Linux).

    Not a thread that is done in 3 ms: requests wait when it waits for the processor with the interpreter in hand.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _wanted(champion: Champion | None, current: Servable) -> list[str]:
    """Return the versions to try, in order: the champion, and rather than the prior, the one before it."""
    if champion is None or champion.version == current.version:
        return []
    return [champion.version, champion.previous] if current.fallback and champion.previous else [champion.version]


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size

"""Probes and metrics: is it alive, can it score, does its log answer and how is it doing."""

import asyncio
import math
import shutil
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from redis import RedisError
from starlette.exceptions import HTTPException

from contract.api import ServingModel
from contract.errors import LogUnavailable
from contract.event_log import EventLog
from contract.log_figures import LogFigures, read_figures
from service.metrics import Metrics
from service.openapi import problems
from service.problems import RETRY_AFTER
from service.score import serving_model
from service.slot import Slot


class Liveness(BaseModel):
    """Answer of `GET /livez`."""

    live: bool = Field(description="Always true: the event loop turns.", examples=[True])


class Readiness(BaseModel):
    """Answer of `GET /readyz`. Scoring needs no log, so being ready does not depend on it."""

    ready: bool = Field(description="Whether scores are answered; the built-in prior counts.", examples=[True])
    log: bool = Field(description="Whether the event log answered when last asked.", examples=[True])
    model: ServingModel


class LogWatch:
    """Looks again and again how the event log is doing, so that a probe never waits for it; at the disk as well."""

    def __init__(self, url: str | None, timeout_s: float, metrics: Metrics, disk: Path | None = None) -> None:
        """Watch the log at `url`, and the disk under a directory; without a log it never answers."""
        self.answers = False
        self.figures: LogFigures | None = None  # None while the log does not answer, or does not say
        self._log = EventLog(url, timeout_s) if url else None
        self._disk = disk
        self._metrics = metrics

    async def look(self) -> None:
        """Ask the log once, in a worker thread and with its deadlines."""
        self.answers, self.figures = await asyncio.to_thread(_ask, self._log)
        self._metrics.log_up.set(self.answers)
        self._metrics.observe_log(self.figures)
        if self._disk is not None:
            self._metrics.disk_free.set(await asyncio.to_thread(_free_share, self._disk))

    async def watch(self, poll_s: float) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(poll_s)

    def close(self) -> None:
        """Let go of the connection."""
        if self._log is not None:
            self._log.close()


def health_routes(slot: Slot, log_watch: LogWatch, metrics: Metrics, is_draining: Callable[[], bool]) -> APIRouter:
    """Return the routes for whoever runs the service."""
    router = APIRouter(tags=["health"])

    @router.get("/livez")
    async def livez() -> Liveness:
        """Say that the process turns."""
        return Liveness(live=True)

    @router.get("/readyz", responses=problems(503))
    async def readyz() -> Readiness:
        """Say whether scores are answered, by which model, and whether feedback can be stored."""
        if is_draining():  # requests are answered still, but a balancer should send no more
            raise HTTPException(503, "this process is about to stop; ask another", RETRY_AFTER)
        serving = ServingModel.model_validate(serving_model(slot.current))
        return Readiness(ready=True, log=log_watch.answers, model=serving)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def read_metrics() -> Response:
        """Return Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router


def _ask(event_log: EventLog | None) -> tuple[bool, LogFigures | None]:
    """Return whether the log answers, and its figures; a log that gives none is up all the same."""
    if event_log is None:
        return False, None
    try:
        event_log.ping()
    except (LogUnavailable, RedisError):
        return False, None
    try:
        return True, read_figures(event_log)
    except (LogUnavailable, RedisError):
        return True, None


def _free_share(directory: Path) -> float:
    try:
        disk = shutil.disk_usage(directory)
    except OSError:
        return math.nan
    return disk.free / disk.total if disk.total else math.nan

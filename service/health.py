"""Probes and metrics: is it alive, can it score, does its log answer."""

import asyncio
import time
from collections.abc import Callable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from redis import RedisError
from starlette.exceptions import HTTPException

from contract.api import ServingModel
from contract.errors import LogUnavailable
from contract.event_log import EventLog, Lag
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
    """Looks again and again whether the event log answers, so that a probe never waits for it."""

    def __init__(self, url: str | None, timeout_s: float, metrics: Metrics) -> None:
        """Watch the log at `url`; without one it never answers."""
        self.answers = False
        self.lag_entries: int | None = None  # stored and in no checkpoint yet
        self.oldest_untrained_s: float | None = None  # how long the oldest of them has waited, 0 without
        self._log = EventLog(url, timeout_s) if url else None
        self._metrics = metrics

    async def look(self) -> None:
        """Ask the log once, in a worker thread and with its deadline."""
        lag = None if self._log is None else await asyncio.to_thread(_lag_of, self._log)
        self.answers = lag is not None
        self.lag_entries = None if lag is None else lag.entries
        self.oldest_untrained_s = None if lag is None else _waited_s(lag)
        self._metrics.log_up.set(self.answers)

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


def _lag_of(event_log: EventLog) -> Lag | None:
    """Ask the log what waits in it; None where it does not answer."""
    try:
        return event_log.lag(event_log.published())
    except (LogUnavailable, RedisError):
        return None


def _waited_s(lag: Lag) -> float:
    return 0.0 if lag.oldest_ms is None else max(time.time() - lag.oldest_ms / 1000, 0.0)

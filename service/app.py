"""Wiring of the service process: everything is made here once and handed down."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import orjson
import structlog
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from contract.api import Problem, ScoreBatchRequest, ScoreRequest
from contract.async_event_log import AsyncEventLog
from contract.durable import write_atomically
from contract.errors import SetupError
from contract.events import FeedbackEvent
from contract.pseudonyms import Pseudonyms
from contract.registry import Registry
from contract.telemetry import configure_logs
from service import feedback, models, openapi, problems
from service.exposures import Exposures
from service.front import Front
from service.health import LogWatch, health_routes
from service.inference import inference_routes
from service.labels import label_routes
from service.limits import Limits
from service.metrics import Metrics
from service.prior import PriorModel
from service.recent import RecentPositives
from service.score import score_routes
from service.scorer import Scorer
from service.settings import ServiceSettings
from service.slot import Slot

_BACKLOG = 2_048
_SWITCH_S = 0.0005  # a version is opened in a thread beside the event loop, which should not wait 5 ms for its turn
log = structlog.get_logger()


def create_app(settings: ServiceSettings) -> FastAPI:
    """Return the application. Its lifespan owns every background task and connection.

    Raises SetupError if a secret is asked for that is not there.
    """
    metrics = Metrics()
    registry = Registry(settings.registry_directory)
    slot = Slot(registry, PriorModel(settings.prior_rate), metrics)
    limits = Limits(settings, metrics)
    pseudonyms = Pseudonyms.of(settings)
    exposures = Exposures.of(settings, pseudonyms, metrics)
    recent = RecentPositives(settings.recent_users)
    url, timeout_s = settings.redis_url, settings.append_timeout_s
    event_log = AsyncEventLog(url, timeout_s, settings.log_max_entries) if url else None
    log_watch = LogWatch(url, timeout_s, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await slot.poll()  # a restarted service answers with the champion from its first request
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(slot.watch(settings.reload_poll_s)),
                tasks.create_task(log_watch.watch(settings.log_poll_s)),
            ]
            yield
            for task in running:
                task.cancel()
        log_watch.close()
        if event_log is not None:
            await event_log.close()

    app = Front(
        limits,
        metrics,
        title="Winnow",
        summary="Denoised relevance scores and labels for short-video feeds, learned online.",
        version=version("winnow-denoise"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    scorer = Scorer(recent, pseudonyms, metrics)
    app.include(score_routes(slot, scorer, exposures, settings))
    app.include(inference_routes(slot, scorer, limits, settings))
    app.include(feedback.feedback_routes(event_log, slot, recent, pseudonyms, exposures, settings, metrics))
    app.include(label_routes(slot, pseudonyms, settings, metrics))
    app.include(models.model_routes(slot, registry))
    app.include(health_routes(slot, log_watch, metrics))
    examples = {"FeedbackEvent": feedback.EXAMPLE, "Manifest": models.EXAMPLE.model_dump(mode="json")}
    bodies: list[type[BaseModel]] = [ScoreRequest, ScoreBatchRequest, FeedbackEvent, feedback.FeedbackBatch, Problem]
    openapi.install(app, bodies, examples)
    return app


def serve(settings: ServiceSettings, announce: Path | None = None) -> None:
    """Run the service until SIGTERM or SIGINT, then finish what runs and return.

    With `announce`, that file says {"url", "pid"} once requests are answered. Raises SetupError if the address is
    taken.
    """
    configure_logs(settings)
    sys.setswitchinterval(_SWITCH_S)
    if announce is not None:
        announce.unlink(missing_ok=True)
    listener = _bind(settings)
    config = uvicorn.Config(
        create_app(settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here reads the caller's address or scheme
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )
    # uvicorn raises the signal that stopped it once more at the end, which would kill a process that ended well.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: None)
    _Server(config, listener, announce).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, saying where it listens once it does."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, announce: Path | None) -> None:
        super().__init__(config)
        self._url = _url_of(listener)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what is there now stays: no collection need look at it again
            log.info("service_started", url=self._url)
            if self._announce is not None:
                write_atomically(self._announce, orjson.dumps({"url": self._url, "pid": os.getpid()}))


def _bind(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SetupError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); "
            "stop what uses it, or set WINNOW_PORT (0 takes a free one)"
        ) from error


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

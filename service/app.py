"""Wiring of the service process: everything is made here once and handed down."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import structlog
from fastapi import FastAPI
from pydantic import BaseModel

from contract.api import Problem, ScoreBatchRequest, ScoreRequest
from contract.async_event_log import AsyncEventLog
from contract.event_log import EventLog
from contract.events import FeedbackEvent
from contract.journal import TIMEOUT_S, Journal
from contract.pseudonyms import Pseudonyms
from contract.registry import Registry
from contract.telemetry import configure_logs
from contract.traces import traces_of
from service import feedback, models, openapi, problems
from service.access import check_exposure
from service.admin import admin_app
from service.backlog import AppendBacklog, Backlog
from service.connection import Door
from service.console.feed import Feed
from service.console.reading import Reader
from service.console.tick import Pulse
from service.console.wiring import Console, Parts
from service.cors import Origins
from service.exposures import Exposures
from service.front import Front
from service.health import LogWatch, health_routes
from service.inference import inference_routes
from service.keys import KeyRing
from service.labels import label_routes
from service.limits import Limits
from service.log_thread import LogThread
from service.metrics import Metrics
from service.prior import PriorModel
from service.proving import Prover
from service.receipts import receipt_routes
from service.recent import RecentPositives
from service.request_lines import RequestLines
from service.score import score_routes
from service.scorer import Scorer
from service.server import AdminServer, Server, acceptors, bind, url_of
from service.settings import ServiceSettings
from service.slot import Slot

_SWITCH_S = 0.0005  # a version is opened in a thread beside the event loop, which should not wait 5 ms for its turn
log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """What one process serves."""

    app: Front  # to callers
    admin: FastAPI  # to operators, on a port of its own
    door: Door  # of the callers' port
    admin_door: Door


def create_app(settings: ServiceSettings) -> Front:
    """Return the callers' application. Its lifespan owns every background task and connection."""
    return build(settings).app


def build(settings: ServiceSettings, admin_url: str | None = None) -> Service:
    """Return everything that one process serves. `admin_url` is where the admin port answers, for the console to name.

    Raises SetupError for keys or secrets that cannot be read, or traces that cannot be told.
    """
    metrics = Metrics()
    registry = Registry(settings.registry_directory)
    prover = Prover() if settings.prove_apart else None
    slot = Slot(registry, PriorModel(settings.prior_rate), metrics, prover)
    limits = Limits(settings, metrics)
    keys = KeyRing(settings, metrics)
    backlog = Backlog(settings.max_queue_s)
    appends = AppendBacklog(min(settings.max_queue_s, settings.append_timeout_s / 2))
    door = Door(backlog, metrics, settings.header_timeout_s, appends)
    pseudonyms = Pseudonyms.of(settings)
    exposures = Exposures.of(settings, pseudonyms, metrics)
    recent = RecentPositives(settings.recent_users)
    url, timeout_s = settings.redis_url, settings.append_timeout_s
    event_log = LogThread(AsyncEventLog(url, timeout_s, settings.log_max_entries)) if url else None
    intake = feedback.intake_of(event_log, slot, recent, timeout_s, appends)
    log_watch = LogWatch(url, timeout_s, metrics, settings.registry_directory)
    metrics.log_max_entries.set(settings.log_max_entries)
    journal = Journal(EventLog(url, TIMEOUT_S)) if url else None
    feed = Feed(Pulse(metrics, slot, log_watch), journal)
    metrics.console_streams.set_function(lambda: feed.open_streams)
    door.on_drain.append(feed.end)
    receipts = Reader(settings.home)
    parts = Parts(keys, slot, recent, pseudonyms, event_log, limits, metrics, feed)
    console = Console(settings, parts, admin_url, version("winnow-denoise")) if settings.console else None
    traces = traces_of("winnow-service")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with closing(prover) if prover else nullcontext():
            await slot.poll()  # a restarted service answers with the champion from its first request
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(slot.watch(settings.reload_poll_s)),
                    tasks.create_task(log_watch.watch(settings.log_poll_s)),
                    tasks.create_task(keys.watch(settings.api_keys_poll_s)),
                    tasks.create_task(feed.watch()),
                    tasks.create_task(feed.follow()),
                ]
                yield
                for task in running:
                    task.cancel()
        receipts.close()
        if console is not None:
            console.close()
        await intake.close()  # what a caller gave up waiting for is stored all the same
        log_watch.close()
        if journal is not None:
            journal.close()
        if event_log is not None:
            await event_log.close()
        if traces is not None:
            await asyncio.to_thread(traces.close)

    app = Front(
        limits,
        metrics,
        keys,
        backlog,
        Origins(settings.cors_origins),
        RequestLines.of(settings),
        traces,
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
    app.include(feedback.feedback_routes(intake, pseudonyms, exposures, settings, metrics))
    app.include(receipt_routes(receipts, url))
    app.include(label_routes(slot, pseudonyms, settings, metrics))
    app.include(models.model_routes(slot, registry))
    app.include(health_routes(slot, log_watch, metrics, lambda: door.is_draining))
    if console is not None:
        app.include(console.routes(on_admin_port=False))
    examples = {"FeedbackEvent": feedback.EXAMPLE, "Manifest": models.EXAMPLE.model_dump(mode="json")}
    bodies: list[type[BaseModel]] = [ScoreRequest, ScoreBatchRequest, FeedbackEvent, feedback.FeedbackBatch, Problem]
    openapi.install(app, bodies, examples)
    door.hot_paths = app.hot_paths
    admin_door = Door(Backlog(settings.max_queue_s), metrics, settings.header_timeout_s)
    admin = admin_app(registry, keys, limits, metrics, console.routes(on_admin_port=True) if console else None)
    return Service(app, admin, door, admin_door)


def serve(settings: ServiceSettings, announce: Path | None = None) -> None:
    """Run the service until SIGTERM or SIGINT, then finish what runs and return.

    With `announce`, that file says {"url", "pid"}, and "admin_url" where there is one, once requests are answered.
    Raises SetupError if an address is taken, or callers without API keys would be let in from beyond this machine.
    """
    configure_logs(settings)
    check_exposure(settings)
    sys.setswitchinterval(_SWITCH_S)
    if announce is not None:
        announce.unlink(missing_ok=True)
    listener = bind(settings.host, settings.port, "WINNOW_PORT")
    admin_listener = admin = None
    if settings.admin_port is not None:
        admin_listener = bind(settings.admin_host, settings.admin_port, "WINNOW_ADMIN_PORT")
    service = build(settings, url_of(admin_listener) if admin_listener else None)
    if admin_listener is not None:
        admin = AdminServer(service.admin, service.admin_door, settings, admin_listener)
    # uvicorn raises the signal that stopped it once more at the end, which would kill a process that ended well.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: None)
    if settings.api_keys_file is None:
        who = "whoever reaches this network" if settings.allow_anonymous else "this machine"
        log.warning("open_to_everyone", who=who, remedy="winnow keys new, WINNOW_API_KEYS_FILE")
    Server(service.app, service.door, settings, listener, announce, admin).run(sockets=acceptors(listener))

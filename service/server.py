"""uvicorn as this service runs it: where it listens, what it says once it does, and how it stops (P7).

Stopping loses nothing: first `/readyz` says 503 and every answer asks its caller to connect anew, for as long as the
grace lasts; then no connection is taken any more; then what runs is finished. The admin port stays until the end.
"""

import asyncio
import gc
import os
import resource
import socket
from pathlib import Path

import orjson
import structlog
import uvicorn
from starlette.types import ASGIApp

from contract.durable import write_atomically
from contract.errors import SetupError
from service.connection import Door
from service.settings import ServiceSettings

_BACKLOG = 2_048
_MOST_FILES = 65_536
_ACCEPTED_AT_ONCE = 16
log = structlog.get_logger()


class AdminServer(uvicorn.Server):
    """The server of the admin port. It lives inside the other's event loop and as long."""

    def __init__(self, app: ASGIApp, door: Door, settings: ServiceSettings, listener: socket.socket) -> None:
        """Serve `app` on `listener`."""
        super().__init__(_config(app, door, settings, lifespan=False))
        self.url = url_of(listener)
        self._listener = listener

    async def begin(self) -> None:
        """Answer from now on."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup(sockets=[self._listener])

    async def end(self) -> None:
        """Finish what runs."""
        await self.shutdown(sockets=[self._listener])


class Server(uvicorn.Server):
    """The server of the callers' port."""

    def __init__(
        self,
        app: ASGIApp,
        door: Door,
        settings: ServiceSettings,
        listener: socket.socket,
        announce: Path | None,
        admin: AdminServer | None,
    ) -> None:
        """Serve `app`, and with it the admin port if there is one."""
        super().__init__(_config(app, door, settings, lifespan=True))
        self._door = door
        self._grace_s = settings.drain_grace_s
        self._urls = {"url": url_of(listener)} | ({"admin_url": admin.url} if admin else {})
        self._announce = announce
        self._admin = admin

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        _allow_many_connections()
        await super().startup(sockets)
        if not self.started:
            return
        if self._admin is not None:
            await self._admin.begin()
        gc.collect()
        gc.freeze()  # what is there now stays: no collection need look at it again
        log.info("service_started", **self._urls)
        if self._announce is not None:
            write_atomically(self._announce, orjson.dumps({**self._urls, "pid": os.getpid()}))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that this process is about to stop, wait the grace, then stop."""
        self._door.drain()
        log.info("service_stopping", grace_s=self._grace_s)
        await asyncio.sleep(self._grace_s)
        await super().shutdown(sockets)
        if self._admin is not None:
            await self._admin.end()


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Return a socket that listens. Raises SetupError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SetupError(
            f"cannot listen on {host} port {port} ({error.strerror}); "
            f"stop what uses it, or set {setting} (0 takes a free one)"
        ) from error


def acceptors(listener: socket.socket) -> list[socket.socket]:
    """Return the socket and copies of it, to be listened on alike.

    libuv accepts one connection a turn of the loop from each. A busy turn takes 100 ms, and with one socket the queue
    of the kernel would overflow: callers, and probes, would be left without any answer.
    """
    return [listener, *(listener.dup() for _ in range(_ACCEPTED_AT_ONCE - 1))]


def _config(app: ASGIApp, door: Door, settings: ServiceSettings, lifespan: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=door.connection_class(),
        ws="none",
        lifespan="on" if lifespan else "off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here reads the caller's address or scheme
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.drain_timeout_s,
    )


def _allow_many_connections() -> None:
    """Each connection is an open file, and the usual bound of 1,024 is lower than this process can hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def url_of(listener: socket.socket) -> str:
    """Return where a socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

"""Both ports of one service, as the console's pages ask them: in this process, under a name of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from anyio.from_thread import start_blocking_portal

from service.app import build
from service.settings import ServiceSettings
from tests.service.conftest import Client

ADMIN_URL = "http://127.0.0.1:9000"


@dataclass(frozen=True)
class Ports:
    """Where callers ask, and where operators do."""

    callers: Client
    admin: Client


@contextmanager
def ports_of(settings: ServiceSettings, host: str = "localhost") -> Iterator[Ports]:
    """Both ports of a service with `settings`, asked as `host`."""
    service = build(settings.model_copy(update={"prove_apart": False}), ADMIN_URL)
    app = service.app
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        callers = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")
        admin = httpx.AsyncClient(transport=httpx.ASGITransport(service.admin), base_url=f"http://{host}:9000")
        yield Ports(Client(portal, callers), Client(portal, admin))
        portal.call(callers.aclose)
        portal.call(admin.aclose)

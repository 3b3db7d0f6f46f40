"""The service under test: in this process for tables of requests, as a process of its own where that matters."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import orjson
import pandas as pd
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from contract.registry import Registry
from service.app import create_app
from service.archive.archive import Archive
from service.settings import ServiceSettings
from tests.labelled import label, stored_rows
from winnow.embedded_log import EmbeddedLog

_SERVE = "import sys, pathlib, service.app as a; a.serve(a.ServiceSettings(port=0), pathlib.Path(sys.argv[1]))"
_START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class ServiceProcess:
    """A running service: where it answers, and its process."""

    url: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Client:
    """Asks an application whose event loop runs in a thread of its own."""

    _portal: BlockingPortal
    _http: httpx.AsyncClient

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self._portal.call(partial(self._http.get, path, headers=headers))

    def post(
        self,
        path: str,
        content: str | bytes | None = None,
        json: object = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        return self._portal.call(partial(self._http.post, path, content=content, json=json, headers=headers))


@contextmanager
def running_service(home: Path, log_url: str | None = None, **settings: str) -> Iterator[ServiceProcess]:
    """Start the service on a free port, with `settings` by name; kill it at the end if it still runs."""
    announce = home / "service.json"
    environment = os.environ | {"WINNOW_HOME": str(home), "WINNOW_RELOAD_POLL_S": "0.02"}
    environment |= {"WINNOW_REDIS_URL": log_url} if log_url else {}
    environment |= {f"WINNOW_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-c", _SERVE, str(announce)], env=environment)
    try:
        until(lambda: announce.exists() or process.poll() is not None, _START_TIMEOUT_S)
        yield ServiceProcess(orjson.loads(announce.read_bytes())["url"], process)
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(home / "registry")


@pytest.fixture
def settings(home: Path, log_url: str) -> ServiceSettings:
    return ServiceSettings(home=home, redis_url=log_url, reload_poll_s=0.01, log_poll_s=0.02)


@pytest.fixture
def client(settings: ServiceSettings) -> Iterator[Client]:
    """The service with the registry as it is when the test starts; later promotions are followed."""
    with client_of(settings) as client:
        yield client


@contextmanager
def client_of(settings: ServiceSettings) -> Iterator[Client]:
    """The service with other settings; versions are proven here, which saves a process for each test."""
    app = create_app(settings.model_copy(update={"prove_apart": False}))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
        yield Client(portal, http)
        portal.call(http.aclose)


def serving(client: Client) -> str:
    """Return the version that answers now."""
    return str(client.get("/v1/models").json()["serving"]["version"])


def metric(client: Client, sample: str) -> float:
    """Return one sample of /metrics, such as `winnow_requests_total{route="/livez",status="2xx"}`."""
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample + " "))


@pytest.fixture(scope="session")
def labelled_home(private_log: EmbeddedLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the label log that a real trainer wrote of simulated events in four checkpoints; to be read only."""
    home = tmp_path_factory.mktemp("labelled")
    label(home, private_log.url)
    return home


@pytest.fixture(scope="session")
def stored(labelled_home: Path) -> pd.DataFrame:
    """Every row of that label log."""
    return stored_rows(labelled_home)


@pytest.fixture
def archive(labelled_home: Path) -> Archive:
    return Archive(labelled_home)

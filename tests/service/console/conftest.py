"""A label log that a real trainer wrote of simulated events, one for all tests of a session, to be read only; and both
ports of a service, as the pages ask them.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import redis

from contract.event_log import EventLog
from contract.label_files import LABELS
from service.console.archive import Archive
from service.settings import ServiceSettings
from tests.service.console.ports import Ports, ports_of
from tests.trainer.conftest import send
from trainer.app import make_worker
from trainer.settings import TrainerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator
from winnow.embedded_log import EmbeddedLog

BURSTS = 4
BURST_EVENTS = 3_000


@pytest.fixture(scope="session")
def labelled_home(private_log: EmbeddedLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the label log of four checkpoints, all of the current hour or the one before."""
    home = tmp_path_factory.mktemp("labelled")
    with redis.Redis.from_url(private_log.url) as client:
        client.flushall()
    settings = TrainerSettings.model_validate(
        {
            "home": home,
            "redis_url": private_log.url,
            "window_ms": 20,
            "user_capacity": 500,
            "item_capacity": 500,
            "trainer_metrics_port": 0,
        }
    )
    worker = make_worker(settings)
    worker.attach()
    simulator = Simulator(SimulatorConfig(users=200, items=150), seed=7)
    for _ in range(BURSTS):
        send(EventLog(private_log.url), simulator.next_block(BURST_EVENTS).events, batch=500)
        worker.drain()
    return home


@pytest.fixture(scope="session")
def stored(labelled_home: Path) -> pd.DataFrame:
    """Every row of that label log, read by other means than ours."""
    tables = [pq.ParquetFile(path).read().to_pandas() for path in (labelled_home / LABELS).glob("*/*.parquet")]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def archive(labelled_home: Path) -> Archive:
    return Archive(labelled_home)


@pytest.fixture
def ports(settings: ServiceSettings) -> Iterator[Ports]:
    """Both ports of a service in an empty home."""
    with ports_of(settings) as ports:
        yield ports


@pytest.fixture
def labelled(labelled_home: Path, settings: ServiceSettings) -> Iterator[Ports]:
    """Both ports of a service in a home with labels and versions."""
    shutil.copytree(labelled_home, settings.home, dirs_exist_ok=True)
    with ports_of(settings) as ports:
        yield ports

"""A home with what a real trainer wrote of simulated events: label log, checkpoints, versions."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import redis

from contract.event_log import EventLog
from contract.label_files import LABELS
from tests.trainer.conftest import send
from trainer.app import make_worker
from trainer.settings import TrainerSettings
from trainer.simulated_world import SimulatorConfig
from trainer.simulator import Simulator

BURSTS = 4
BURST_EVENTS = 3_000


def label(home: Path, log_url: str, publish: bool = False) -> None:
    """Send four bursts through an emptied log; after each a checkpoint and, where asked for, a version."""
    with redis.Redis.from_url(log_url) as client:
        client.flushall()
    settings = TrainerSettings.model_validate(
        {
            "home": home,
            "redis_url": log_url,
            "window_ms": 20,
            "user_capacity": 500,
            "item_capacity": 500,
            "gate_min_events": 2_000,
            "trainer_metrics_port": 0,
        }
    )
    worker = make_worker(settings)
    worker.attach()
    simulator = Simulator(SimulatorConfig(users=200, items=150), seed=7)
    for _ in range(BURSTS):
        send(EventLog(log_url), simulator.next_block(BURST_EVENTS).events, batch=500)
        worker.drain()
        if publish:
            worker.publish()


def stored_rows(home: Path) -> pd.DataFrame:
    """Return every row of a label log in parts, read by other means than ours."""
    tables = [pq.ParquetFile(path).read().to_pandas() for path in (home / LABELS).glob("*/*.parquet")]
    return pd.concat(tables, ignore_index=True)

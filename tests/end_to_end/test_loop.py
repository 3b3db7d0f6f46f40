"""The whole loop as a user runs it: real processes, real signals, real HTTP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pyarrow.parquet as pq
import pytest

from tests.trainer.conftest import some_events
from trainer.checkpoint import CheckpointStore
from winnow.client import Client
from winnow.player import as_json
from winnow.retries import RetryPolicy

ENVIRONMENT = {
    **os.environ,
    "WINNOW_PUBLISH_EVERY_S": "0.5",
    "WINNOW_CHECKPOINT_EVERY_S": "0.5",
    "WINNOW_WINDOW_MS": "50",
    "WINNOW_TRAINER_METRICS_PORT": "0",
    "WINNOW_GATE_MIN_EVENTS": "500",
}


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@contextmanager
def running_up(home: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int], str]]:
    """`winnow up` on a home: its process, the pids of its parts, its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow", "up", "--home", str(home), "--port", "0"],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: (home / "up.json").exists())
        facts = orjson.loads((home / "up.json").read_bytes())
        yield process, facts["pids"], facts["url"]
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def trained(home: Path) -> int:
    store = CheckpointStore(home / "checkpoints", keep=10)
    try:
        return store.read(store.files()[-1]).account.trained
    except (IndexError, FileNotFoundError):  # none yet, or just replaced
        return 0


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.timeout(240)
def test_every_acknowledged_event_survives_kill_9_of_each_part_and_a_restart(home: Path) -> None:
    """Trainer, service and log are each killed in mid-play; then `up` is stopped and started again."""
    events = some_events(4_000)
    acknowledged: set[str] = set()
    with running_up(home) as (process, pids, url):
        with Client(url, policy=RetryPolicy(deadline_s=60)) as client:
            for number, start in enumerate(range(0, len(events), 100)):
                if (victim := {8: "trainer", 16: "service", 24: "log"}.get(number)) is not None:
                    os.kill(pids[victim], signal.SIGKILL)
                batch = as_json(events.take(slice(start, start + 100)))
                acknowledged |= set(client.feedback(batch).model_dump()["event_ids"])
        process.terminate()
        assert process.wait(60) == 0
    assert len(acknowledged) == 4_000
    with running_up(home):
        until(lambda: trained(home) == 4_000)
    ids = pq.read_table(home / "labels")["event_id"].to_pylist()
    assert len(ids) == 4_000
    assert set(ids) == acknowledged


@pytest.mark.timeout(120)
def test_sigterm_stops_all_that_up_started_and_the_next_start_serves_the_champion(home: Path) -> None:
    with running_up(home) as (process, pids, url):
        with Client(url) as client:
            events = some_events(6_000)
            for start in range(0, len(events), 500):
                client.feedback(as_json(events.take(slice(start, start + 500))))
            until(lambda: not client.models().serving.fallback)
        process.terminate()
        assert process.wait(60) == 0
        until(lambda: all(gone(pid) for pid in pids.values()), 10)
    with running_up(home) as (_, _, url):
        answer = httpx.post(f"{url}/score", json={"user_id": "u2", "candidates": ["v2", "v3", "never-seen"]}).json()
    assert not answer["model"]["fallback"]
    by_item = {item["item_id"]: item for item in answer["items"]}
    assert by_item["v2"]["score"] > by_item["v3"]["score"]  # even users like even items
    assert not by_item["never-seen"]["known"]

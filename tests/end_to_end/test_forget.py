"""`winnow forget` as a person runs it, against everything running: nobody knows the user any more (P10)."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from contract.pseudonyms import Pseudonyms
from contract.settings import IdSettings
from tests.end_to_end.test_loop import until
from tests.trainer.conftest import some_events
from winnow.client import Client
from winnow.player import as_json
from winnow.up import Loop

SETTINGS = {
    "WINNOW_PUBLISH_EVERY_S": "0.3",
    "WINNOW_CHECKPOINT_EVERY_S": "0.3",
    "WINNOW_WINDOW_MS": "50",
    "WINNOW_TRAINER_METRICS_PORT": "0",
    "WINNOW_GATE_MIN_EVENTS": "100",
}
USER = "u2"


def knows(url: str) -> bool:
    body = {"user_id": USER, "candidates": ["v2"]}
    answer = httpx.post(f"{url}/v1/score", json=body).raise_for_status().json()
    known: bool = answer["known_user"]
    return known


def label_rows(home: Path, stored_as: str) -> int:
    users: list[str] = pq.read_table(home / "labels", partitioning=None)["user_id"].to_pylist()
    return users.count(stored_as)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("hash_ids", ["none", "users"])
def test_a_user_who_is_forgotten_is_known_to_nobody(home: Path, hash_ids: str) -> None:
    secret = home / "ids.secret"
    secret.write_text("5e" * 32)
    secret.chmod(0o600)
    hashing = {"WINNOW_HASH_IDS": hash_ids, "WINNOW_ID_SECRET_FILE": str(secret)} if hash_ids != "none" else {}
    ids = IdSettings.model_validate({"hash_ids": hash_ids, "id_secret_file": secret if hashing else None})
    stored_as = Pseudonyms.of(ids).user(USER)
    assert (stored_as == USER) is (hash_ids == "none")
    with Loop(home, environment={**SETTINGS, **hashing}) as loop:
        with Client(loop.url) as client:
            for part in range(2):
                client.feedback(as_json(some_events(1_000, seed=part, prefix=f"p{part}-")))
        until(lambda: knows(loop.url))
        until(lambda: (home / "labels").exists() and label_rows(home, stored_as) > 10)
        command = [sys.executable, "-m", "winnow", "forget", USER, "--home", str(home), "--wait", "60"]
        done = subprocess.run(command, env={**os.environ, **hashing}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "done: a version without the user is served" in done.stdout
        assert label_rows(home, stored_as) == 0
        until(lambda: not knows(loop.url))
        assert USER not in (home / "forgotten.jsonl").read_text().split('"')

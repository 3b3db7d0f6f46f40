"""Ids with line feeds, escapes or the look of a label make no log line and no metric of their own (F41)."""

import json
import os
import subprocess
import sys

import pytest

from contract.registry import Registry
from tests.service.conftest import Client
from tests.versions import promote_version

NASTY = 'a\n{"level":"error"}\x1b[31m"} winnow_evil_total{x="1'
_LOG = (
    "import os, structlog;"
    "from contract.settings import TelemetrySettings; from contract.telemetry import configure_logs;"
    "configure_logs(TelemetrySettings(log_json=True));"
    "structlog.get_logger().error('request_failed', route=os.environ['NASTY'], reason=os.environ['NASTY'])"
)


def test_a_log_record_is_one_line_of_json_whatever_its_fields_hold() -> None:
    environment = os.environ | {"NASTY": NASTY}
    ran = subprocess.run([sys.executable, "-c", _LOG], env=environment, capture_output=True, text=True, check=True)
    [line] = ran.stderr.splitlines()
    assert "\x1b" not in line
    assert json.loads(line)["route"] == json.loads(line)["reason"] == NASTY


@pytest.mark.parametrize("user", ["u1", 'label="x"', "winnow_evil_total 1", "ünïcode"])
def test_no_id_and_no_path_becomes_a_metric(client: Client, registry: Registry, user: str) -> None:
    promote_version(registry)
    event = {"event_id": user, "user_id": user, "item_id": "winnow_evil_item", "at": 1, "watch_ms": 1}
    before = _series(client)
    for _ in range(2):
        client.post("/v1/feedback", json=event)
        client.post("/v1/score", json={"user_id": user, "candidates": ["winnow_evil_item", NASTY.replace("\n", "")]})
        client.get("/winnow_evil_path")
    assert "evil" not in client.get("/metrics").text
    routes = {one.split('route="')[1].split('"')[0] for one in _series(client) - before if 'route="' in one}
    assert routes <= {"/v1/feedback", "/v1/score", "/metrics", "other"}


def _series(client: Client) -> set[str]:
    return {line.rsplit(" ", 1)[0] for line in client.get("/metrics").text.splitlines() if not line.startswith("#")}

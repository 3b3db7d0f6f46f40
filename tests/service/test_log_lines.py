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
_BEGIN = (
    "import logging, os, sys, warnings, structlog;"
    "from contract.settings import TelemetrySettings; from contract.telemetry import configure_logs;"
    "configure_logs(TelemetrySettings(log_json=sys.argv[1] == 'json'));"
    "nasty = os.environ['NASTY'];"
)
_OURS = "structlog.get_logger().error('request_failed', route=nasty, reason=nasty)"
_OF_A_LIBRARY = "logging.getLogger('uvicorn.error').warning('%s', nasty)"


def lines_of(act: str, form: str, nasty: str = NASTY) -> list[str]:
    """Return what a fresh process writes to standard error while it does `act`; its logs are set up."""
    command = [sys.executable, "-c", _BEGIN + act, form]
    environment = os.environ | {"NASTY": nasty}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stderr.splitlines()


@pytest.mark.parametrize("act", [_OURS, _OF_A_LIBRARY], ids=["ours", "of a library"])
@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("nasty", [NASTY, "\x1b[31mred\x07"])
def test_a_log_record_is_one_line_whatever_its_fields_hold(act: str, form: str, nasty: str) -> None:
    [line] = lines_of(act, form, nasty)
    assert line.isprintable()


def test_a_line_of_json_holds_its_fields_as_they_are() -> None:
    [line] = lines_of(_OURS, "json")
    assert json.loads(line)["route"] == json.loads(line)["reason"] == NASTY


@pytest.mark.parametrize(
    ("act", "event"),
    [
        (_OF_A_LIBRARY, "library_warned"),
        ("warnings.warn(nasty)", "library_warned"),
        ("raise ValueError(nasty)", "process_failed"),
        ("exec('try:\\n 1/0\\nexcept ZeroDivisionError: structlog.get_logger().exception(nasty)')", NASTY),
    ],
)
def test_in_json_what_libraries_say_and_what_ends_a_process_is_json_too(act: str, event: str) -> None:
    [line] = lines_of(act, "json")
    said = json.loads(line)
    assert said["event"] == event
    assert {"level", "timestamp"} <= said.keys()


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

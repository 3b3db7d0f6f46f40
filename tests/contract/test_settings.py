"""Settings come from WINNOW_ variables, work without any, and refuse what is out of bounds."""

import json
import logging
import sys
from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from contract.settings import HomeSettings, LogSettings, TelemetrySettings
from contract.telemetry import configure_logs

SECTIONS: list[type[BaseSettings]] = [HomeSettings, LogSettings, TelemetrySettings]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for section in SECTIONS:
        for name in section.model_fields:
            monkeypatch.delenv(f"WINNOW_{name.upper()}", raising=False)


def test_the_environment_is_read_by_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", "elsewhere")
    monkeypatch.setenv("WINNOW_REDIS_URL", "redis://127.0.0.1:6379/0")
    monkeypatch.setenv("WINNOW_LOG_MAX_ENTRIES", "500")
    monkeypatch.setenv("LOG_MAX_ENTRIES", "600")
    settings = LogSettings()
    assert (settings.redis_url, settings.log_max_entries) == ("redis://127.0.0.1:6379/0", 500)
    assert settings.registry_directory == Path("elsewhere/registry")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_has_a_default_and_a_description(section: type[BaseSettings]) -> None:
    section()
    assert all(field.description for field in section.model_fields.values())


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        (LogSettings, "log_max_entries", "99"),
        (LogSettings, "log_max_entries", "many"),
        (TelemetrySettings, "log_level", "loud"),
        (TelemetrySettings, "log_level", "INFO "),
        (TelemetrySettings, "log_json", "perhaps"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(
    section: type[BaseSettings], name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WINNOW_{name.upper()}", value)
    with pytest.raises(ValidationError, match=name):
        section()


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LogSettings().log_max_entries = 1_000  # type: ignore[misc]


def test_a_json_log_line_is_one_object_with_its_facts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    try:
        configure_logs(TelemetrySettings(log_json=True, log_level="warning"))
        structlog.get_logger().info("version_staged")
        structlog.get_logger().warning("version_refused", version="000042")
    finally:
        structlog.reset_defaults()
        logging.captureWarnings(False)
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["version"]) == ("version_refused", "warning", "000042")
    assert said["timestamp"].endswith("Z")

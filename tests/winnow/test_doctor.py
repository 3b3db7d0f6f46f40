"""`winnow doctor`: each thing that can be wrong is found, with a remedy."""

import socket
import sys
from pathlib import Path

import pytest
import redis

from contract.registry import Registry
from tests.versions import stage_version
from winnow import doctor
from winnow.doctor import Health


def test_a_redis_that_may_lose_acknowledged_events_is_named(log_url: str) -> None:
    assert doctor.check_redis(log_url).health is Health.OK
    with redis.Redis.from_url(log_url) as server:
        server.config_set("appendfsync", "everysec")
        try:
            finding = doctor.check_redis(log_url)
        finally:
            server.config_set("appendfsync", "always")
    assert finding.health is Health.WARN
    assert "appendfsync always" in finding.remedy


def test_a_redis_that_does_not_answer_is_a_failure(home: Path) -> None:
    assert doctor.check_redis(f"unix://{home}/nobody.sock").health is Health.FAIL
    assert doctor.check_redis("gopher://nowhere").health is Health.FAIL


def test_a_taken_port_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = doctor.check_port("127.0.0.1", port, home)
        assert finding.health is Health.WARN
        assert str(port) in finding.what
    assert doctor.check_port("127.0.0.1", port, home).health is Health.OK


def test_a_champion_that_differs_from_its_manifest_is_a_failure(home: Path) -> None:
    registry = Registry(home / "registry")
    version = stage_version(registry)[0]
    registry.promote(version, "test")
    assert doctor.check_champion(home).health is Health.OK
    table = registry.path(version) / "items.terms.bin"
    table.chmod(0o644)
    table.write_bytes(bytes([table.read_bytes()[0] ^ 1]) + table.read_bytes()[1:])
    finding = doctor.check_champion(home)
    assert finding.health is Health.FAIL
    assert "items.terms.bin" in finding.what


def test_a_damaged_newest_checkpoint_is_a_failure(home: Path) -> None:
    assert doctor.check_checkpoints(home).health is Health.OK
    (home / "checkpoints").mkdir()
    (home / "checkpoints" / f"00000001-{'0' * 64}.safetensors").write_bytes(b"not what its name says")
    finding = doctor.check_checkpoints(home)
    assert finding.health is Health.FAIL
    assert "00000001" in finding.what


def test_a_full_disk_is_warned_of(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_home(home / "not" / "yet" / "made").health is Health.OK
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**62)
    assert doctor.check_home(home).health is Health.WARN


def test_a_collector_of_traces_that_cannot_be_told_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert doctor.check_traces({}).health is doctor.check_traces(environment).health is Health.OK
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    finding = doctor.check_traces(environment)
    assert finding.health is Health.FAIL
    assert "pip install '.[traces]'" in finding.remedy

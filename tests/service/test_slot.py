"""The slot follows the champion file, and whatever it finds there, something keeps serving (P4, P5)."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contract.registry import Registry
from service.metrics import Metrics
from service.prior import PriorModel
from service.servable import age_s
from service.slot import Slot
from tests.versions import promote_version, stage_version


@pytest.fixture
def slot(registry: Registry) -> Slot:
    return Slot(registry, PriorModel(0.02), Metrics())


def poll(slot: Slot) -> str:
    asyncio.run(slot.poll())
    return slot.current.version


def spoil(registry: Registry, version: str) -> None:
    (registry.path(version) / "items.terms.bin").write_bytes(b"\x00" * 32)


def test_the_prior_serves_until_the_first_promotion_and_then_the_champion_does(slot: Slot, registry: Registry) -> None:
    assert poll(slot) == "prior"
    version, _ = promote_version(registry)
    assert poll(slot) == version == slot.served[-1].version


def test_a_rollback_is_followed(slot: Slot, registry: Registry) -> None:
    first, _ = promote_version(registry, seed=1)
    second, _ = promote_version(registry, seed=2)
    assert poll(slot) == second
    registry.rollback("a test")
    assert poll(slot) == first


def test_a_corrupt_champion_is_refused_once_with_its_reason_and_the_old_one_serves_on(
    slot: Slot, registry: Registry
) -> None:
    good, _ = promote_version(registry, seed=1)
    poll(slot)
    bad, _ = promote_version(registry, seed=2)
    spoil(registry, bad)
    with capture_logs() as logs:
        assert poll(slot) == good
        registry.pin(bad, "touches the champion file")
        assert poll(slot) == good
    assert [line["event"] for line in logs] == ["version_refused"]
    assert "sha256 of items.terms.bin differs" in slot.refused[bad]


def test_a_good_version_after_a_bad_one_is_taken_over(slot: Slot, registry: Registry) -> None:
    bad, _ = promote_version(registry, seed=1)
    spoil(registry, bad)
    assert poll(slot) == "prior"
    good, _ = promote_version(registry, seed=2)
    assert poll(slot) == good


def test_after_a_restart_the_version_before_a_corrupt_champion_serves_rather_than_the_prior(
    slot: Slot, registry: Registry
) -> None:
    good, _ = promote_version(registry, seed=1)
    bad, _ = promote_version(registry, seed=2)
    spoil(registry, bad)
    assert poll(slot) == good


def test_a_lost_or_broken_champion_file_changes_nothing(slot: Slot, registry: Registry) -> None:
    version, _ = promote_version(registry)
    poll(slot)
    registry.champion_file.write_text("{")
    with capture_logs() as logs:
        assert [poll(slot), poll(slot)] == [version, version]
    assert [line["event"] for line in logs] == ["registry_unreadable"]
    registry.champion_file.unlink()
    assert poll(slot) == version


def test_a_version_that_is_out_of_reach_is_taken_over_once_it_is_there(slot: Slot, registry: Registry) -> None:
    version, _ = promote_version(registry)
    away = registry.directory / "away"
    registry.path(version).rename(away)
    assert poll(slot) == "prior"
    away.rename(registry.versions_directory / version)
    assert poll(slot) == version


def test_an_unpinned_champion_is_not_opened_again(slot: Slot, registry: Registry) -> None:
    version, _ = promote_version(registry)
    poll(slot)
    opened = slot.current
    registry.pin(version, "a test")
    registry.unpin("a test")
    poll(slot)
    assert slot.current is opened


def test_a_version_that_is_only_staged_is_not_served(slot: Slot, registry: Registry, home: Path) -> None:
    stage_version(registry)
    assert poll(slot) == "prior"


@pytest.mark.parametrize(("ahead_s", "age"), [(3_600, 0.0), (-60, 60.0)])
def test_no_age_is_below_zero_where_the_clock_was_set_back(ahead_s: int, age: float) -> None:
    through_ms = round(time.time() + ahead_s) * 1_000
    assert age_s(through_ms) == pytest.approx(age, abs=5)
    metrics = Metrics()
    metrics.follow(lambda: PriorModel(0.02, version="000001", trained_through_ms=through_ms))
    told = re.search(r"^winnow_model_age_seconds (\S+)", metrics.exposition().decode(), re.MULTILINE)
    assert told is not None
    assert float(told[1]) == pytest.approx(age, abs=5)

"""The registry's verbs, one by one: what each changes, what it refuses, and that numbers never come twice."""

from pathlib import Path

import pytest

from contract.errors import ChampionPinned, RegistryError, VersionCorrupt, VersionNotFound
from contract.registry import CHAMPION_FILE, Registry
from tests.contract.versions import TABLE_FILE, stage_version, write_version


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(home / "registry")


@pytest.fixture
def staged(registry: Registry) -> list[str]:
    """Three versions, none promoted."""
    return [stage_version(registry) for _ in range(3)]


def standing(registry: Registry) -> tuple[str, str | None, bool]:
    champion = registry.champion()
    assert champion is not None
    return champion.version, champion.previous, champion.pinned


def test_an_empty_registry_has_no_champion_and_no_versions(registry: Registry) -> None:
    assert (registry.champion(), registry.versions(), registry.quarantined(), registry.history()) == (None, [], [], [])


def test_staged_versions_are_numbered_in_order_and_whole(registry: Registry, staged: list[str]) -> None:
    assert registry.versions() == staged == ["000001", "000002", "000003"]
    assert registry.verify("000002") == registry.manifest("000002")
    assert list(registry.staging_directory.iterdir()) == []
    assert registry.path("000001").stat().st_mode & 0o777 == 0o755


def test_what_differs_from_its_manifest_is_not_staged(registry: Registry) -> None:
    directory = registry.new_staging()
    write_version(directory)
    (directory / TABLE_FILE).write_bytes(b"cut")
    with pytest.raises(VersionCorrupt, match="has 3 bytes"):
        registry.stage(directory)
    assert registry.versions() == []


def test_a_version_damaged_later_fails_to_verify(registry: Registry, staged: list[str]) -> None:
    (registry.path(staged[0]) / TABLE_FILE).write_bytes(b"cut")
    with pytest.raises(VersionCorrupt, match=r"version 000001: items\.bin has 3 bytes"):
        registry.verify(staged[0])


def test_every_change_says_how_far_the_version_has_learned(registry: Registry, staged: list[str]) -> None:
    registry.promote("000001", "first")
    registry.pin("000002", "hold")
    registry.rollback("worse")
    registry.unpin("go on")
    (registry.path("000003") / "manifest.json").write_text("{}")
    registry.promote("000003", "unread")
    assert [change.through_ms for change in registry.history()] == [7, 7, 7, 7, 0]


def test_a_promotion_remembers_what_it_replaced(registry: Registry, staged: list[str]) -> None:
    registry.promote("000001", "first")
    assert standing(registry) == ("000001", None, False)
    registry.promote("000003", "better")
    assert standing(registry) == ("000003", "000001", False)
    registry.promote("000003", "again")
    assert standing(registry) == ("000003", "000001", False)
    assert [(change.version, change.why) for change in registry.history()] == [
        ("000001", "first"), ("000003", "better"), ("000003", "again"),
    ]  # fmt: skip


def test_a_rollback_returns_and_holds_until_it_is_unpinned(registry: Registry, staged: list[str]) -> None:
    registry.promote("000001", "first")
    registry.promote("000002", "better")
    champion = registry.rollback("it was worse", who="an operator")
    assert standing(registry) == ("000001", None, True)
    assert (champion.who, champion.act, champion.replaced) == ("an operator", "rollback", "000002")
    with pytest.raises(ChampionPinned, match=r"000001 is pinned \(it was worse\); unpin it to promote 000003"):
        registry.promote("000003", "better still")
    registry.unpin("mended")
    registry.promote("000003", "better still")
    assert standing(registry) == ("000003", "000001", False)


def test_an_operator_may_pin_another_version_over_a_pin(registry: Registry, staged: list[str]) -> None:
    registry.pin("000002", "hold")
    registry.pin("000001", "hold the other")
    assert standing(registry) == ("000001", "000002", True)


def test_there_is_nothing_to_roll_back_or_unpin_before_a_promotion(registry: Registry, staged: list[str]) -> None:
    with pytest.raises(VersionNotFound, match="no champion"):
        registry.unpin("why not")
    for _ in range(2):
        with pytest.raises(VersionNotFound, match="no earlier champion"):
            registry.rollback("why not")
        registry.promote("000001", "first")


@pytest.mark.parametrize("version", ["000009", "", ".", "..", "../versions/000001", "/", "1", "000001/"])
def test_a_version_that_is_not_there_is_not_found(registry: Registry, staged: list[str], version: str) -> None:
    for verb in (registry.path, registry.manifest, registry.verify, registry.quarantine):
        with pytest.raises(VersionNotFound, match="the latest are: 000001, 000002, 000003"):
            verb(version)
    for change in (registry.promote, registry.pin):
        with pytest.raises(VersionNotFound):
            change(version, "why not")
    assert registry.champion() is None


def test_a_quarantined_version_stays_readable_and_is_never_promoted(registry: Registry, staged: list[str]) -> None:
    registry.quarantine("000002")
    registry.quarantine("000002")
    refused = stage_version(registry, quarantine=True)
    assert (registry.versions(), registry.quarantined()) == (["000001", "000003"], ["000002", refused])
    registry.verify("000002")
    for change in (registry.promote, registry.pin):
        with pytest.raises(RegistryError, match="is in quarantine and cannot be served"):
            change("000002", "why not")


def test_the_champion_cannot_be_quarantined(registry: Registry, staged: list[str]) -> None:
    registry.promote("000001", "first")
    with pytest.raises(RegistryError, match="000001 is the champion, or what it stands on; roll back first"):
        registry.quarantine("000001")
    registry.verify("000001")


def test_a_rollback_to_a_quarantined_version_is_refused(registry: Registry, staged: list[str]) -> None:
    registry.promote("000001", "first")
    registry.promote("000002", "better")
    registry.quarantine("000001")
    with pytest.raises(VersionNotFound, match="no earlier champion to go back to; 000001 are gone or damaged"):
        registry.rollback("it was worse")
    with pytest.raises(RegistryError, match="in quarantine"):
        registry.rollback("it was worse", to="000001")
    assert standing(registry) == ("000002", "000001", False)


@pytest.mark.parametrize(
    ("keep", "kept", "kept_aside"),
    [
        (0, ["000001", "000002"], ["000006"]),
        (1, ["000001", "000002", "000004"], ["000006"]),
        (2, ["000001", "000002", "000003", "000004"], ["000005", "000006"]),
        (9, ["000001", "000002", "000003", "000004"], ["000005", "000006"]),
    ],
)
def test_pruning_keeps_champion_predecessor_and_the_newest(
    registry: Registry, staged: list[str], keep: int, kept: list[str], kept_aside: list[str]
) -> None:
    stage_version(registry)
    for _ in range(2):
        stage_version(registry, quarantine=True)
    registry.promote("000001", "first")
    registry.promote("000002", "better")
    before = set(registry.versions() + registry.quarantined())
    gone = registry.prune(keep)
    assert (registry.versions(), registry.quarantined()) == (kept, kept_aside)
    assert set(gone) == before - {*kept, *kept_aside}


def test_pruning_keeps_whole_versions_and_deltas_apart_and_whatever_a_delta_that_stays_stands_on(
    registry: Registry,
) -> None:
    for base in (None, "000001", "000001", None, "000004", None, "000001", "000006"):
        stage_version(registry, base=base)
    registry.promote("000002", "first")
    registry.promote("000008", "better")
    assert registry.prune(1) == ["000003", "000004", "000005", "000007"]
    assert registry.versions() == ["000001", "000002", "000006", "000008"]
    assert [registry.base_of(version) for version in registry.versions()] == [None, "000001", None, "000006"]


def test_what_the_champion_stands_on_cannot_be_quarantined(registry: Registry) -> None:
    stage_version(registry)
    registry.promote(stage_version(registry, base="000001"), "a delta")
    with pytest.raises(RegistryError, match="000001 is the champion, or what it stands on"):
        registry.quarantine("000001")


@pytest.mark.parametrize("aside", [False, True])
def test_a_number_never_comes_twice(registry: Registry, aside: bool) -> None:
    numbers = []
    for _ in range(4):
        numbers.append(stage_version(registry, quarantine=aside))
        registry.prune(0)
        if not aside:
            registry.quarantine(numbers[-1])
        registry.prune(0)
    assert numbers == ["000001", "000002", "000003", "000004"]


def test_numbers_go_on_after_all_versions_were_deleted_by_hand(registry: Registry, staged: list[str]) -> None:
    registry.promote("000003", "first")
    for version in registry.versions():
        registry.path(version).rename(registry.directory / f"elsewhere-{version}")
    assert stage_version(registry) == "000004"


def test_strange_neighbours_are_no_versions(registry: Registry, staged: list[str]) -> None:
    (registry.versions_directory / "lost+found").mkdir()
    (registry.versions_directory / "000009").touch()
    (registry.quarantine_directory / ".cache").mkdir()
    assert (registry.versions(), registry.quarantined()) == (staged, [])
    assert stage_version(registry) == "000004"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"version": "000001"}', b"\xff", b'"000001"'])
def test_a_champion_file_that_is_none_is_named(registry: Registry, content: bytes) -> None:
    (registry.directory / CHAMPION_FILE).write_bytes(content)
    with pytest.raises(RegistryError, match=r"champion\.json is not a champion file"):
        registry.champion()


def test_a_champion_file_of_brackets_without_end_is_refused_as_none(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.champion_file.write_bytes(b"[" * 100_000)
    with pytest.raises(RegistryError, match="is not a champion file"):
        registry.champion()


def test_a_second_rollback_in_a_row_goes_further_back_and_passes_over_what_is_gone_or_damaged(
    registry: Registry, staged: list[str]
) -> None:
    staged += [stage_version(registry) for _ in range(2)]
    for version in staged:
        registry.promote(version, "better")
    (registry.path("000003") / TABLE_FILE).write_bytes(b"cut")
    assert registry.rollback("worse").version == "000004"
    assert registry.rollback("worse still").version == "000002"
    assert registry.rollback("even worse").version == "000001"
    with pytest.raises(VersionNotFound, match="no earlier champion"):
        registry.rollback("no way")
    assert [change.act for change in registry.history()] == ["promote"] * 5 + ["rollback"] * 3


def test_after_a_rollback_and_new_promotions_the_way_back_passes_what_was_left(
    registry: Registry, staged: list[str]
) -> None:
    registry.promote("000001", "first")
    registry.promote("000002", "bad")
    registry.rollback("it was bad")
    registry.unpin("mended")
    registry.promote("000003", "better")
    assert registry.rollback("worse").version == "000001"


def test_a_rollback_leads_to_a_named_version_or_to_what_served_at_a_time(registry: Registry, staged: list[str]) -> None:
    for version in staged:
        registry.promote(version, "better")
    times = [change.changed_ms for change in registry.history()]
    lines = [f'{{"version": "{version}", "previous": null, "pinned": false, "why": "", "changed_ms": {at}}}\n'
             for version, at in zip(staged, (100, 200, 300), strict=True)]  # fmt: skip
    (registry.directory / "history.jsonl").write_text("".join(lines))  # as a release wrote them that named nobody
    assert times == sorted(times)
    assert registry.rollback("as it was then", before_ms=250).version == "000002"
    assert registry.rollback("this one", to="000001").version == "000001"
    (registry.path("000002") / TABLE_FILE).write_bytes(b"cut")
    with pytest.raises(VersionCorrupt):
        registry.rollback("that one", to="000002")
    assert standing(registry)[0] == "000001"


def test_the_trainer_replaces_no_pin_and_lifts_only_its_own(registry: Registry, staged: list[str]) -> None:
    registry.promote("000001", "first")
    registry.promote("000002", "better")
    registry.rollback("automatic: it decayed")
    assert registry.lift("000001", "automatic: as good again")
    registry.pin("000003", "hold", who="an operator")
    assert not registry.lift("000003", "automatic: as good again")
    with pytest.raises(ChampionPinned, match=r"000003 is pinned \(hold\); it stays"):
        registry.rollback("automatic: it decayed", over_a_pin=False)
    assert standing(registry) == ("000003", "000001", True)


def test_a_full_disk_changes_neither_pointer_nor_history(
    registry: Registry, staged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote("000001", "first")
    before = registry.history()

    def no_space(self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as full:
        full.setattr(Path, "replace", no_space)
        with pytest.raises(OSError, match="No space"):
            registry.promote("000002", "better")
    assert standing(registry)[0] == "000001"
    assert registry.history() == before
    assert registry.promote("000002", "better").previous == "000001"


def test_the_version_last_found_healthy_is_never_pruned(registry: Registry, staged: list[str]) -> None:
    registry.note_healthy("000001")
    registry.promote("000003", "better")
    registry.prune(0)
    assert registry.versions() == ["000001", "000003"]
    assert registry.healthy() == "000001"
    assert list(registry.staging_directory.iterdir()) == []


def test_a_version_under_watch_is_kept_until_it_is_noted_or_another_is(registry: Registry, staged: list[str]) -> None:
    registry.note_candidate("000001")
    registry.promote("000003", "better")
    registry.prune(0)
    assert registry.versions() == ["000001", "000003"]
    assert registry.healthy() is None
    registry.note_healthy("000001")
    registry.note_candidate("000003")
    registry.prune(0)
    assert registry.healthy() == "000001"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"version": 7}', b'{"candidate": "000001"}', b"[" * 100_000])
def test_a_damaged_note_of_what_is_healthy_notes_nothing(registry: Registry, staged: list[str], content: bytes) -> None:
    (registry.directory / "healthy.json").write_bytes(content)
    assert registry.healthy() is None
    registry.note_healthy("000001")
    assert registry.healthy() == "000001"

"""A version is what its manifest says, to the byte, or it is refused with the reason."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.errors import VersionCorrupt
from contract.manifest import (
    MANIFEST_FILE,
    FileDigest,
    read_manifest,
    sealed,
    verify_files,
)
from contract.side import LEAST_SIDE_ROWS
from contract.tables import MAX_HISTORY
from tests.contract.versions import TABLE, TABLE_FILE, write_manifest, write_version

Damage = Callable[[Path], object]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    directory = tmp_path / "000001"
    directory.mkdir()
    write_version(directory)
    return directory


def flip_a_bit(directory: Path) -> None:
    (directory / TABLE_FILE).write_bytes(bytes([TABLE[0] ^ 1]) + TABLE[1:])


def link_the_table(directory: Path) -> None:
    (directory / TABLE_FILE).rename(directory.parent / "outside.bin")
    (directory / TABLE_FILE).symlink_to(directory.parent / "outside.bin")


def link_the_manifest(directory: Path) -> None:
    (directory / MANIFEST_FILE).rename(directory.parent / "outside.json")
    (directory / MANIFEST_FILE).symlink_to(directory.parent / "outside.json")


def name_a_file_outside(directory: Path) -> None:
    """Point at a file that is there and has the right digest, but not in the version."""
    (directory.parent / "outside.bin").write_bytes(TABLE)
    manifest = read_manifest(directory)
    outside = {"../outside.bin": manifest.files[TABLE_FILE]}
    write_manifest(directory, manifest.model_copy(update={"files": {**manifest.files, **outside}}))


def name_a_file_by_its_full_path(directory: Path) -> None:
    manifest = read_manifest(directory)
    full = {str(directory / TABLE_FILE): manifest.files[TABLE_FILE]}
    write_manifest(directory, manifest.model_copy(update={"files": {**manifest.files, **full}}))


def claim_a_size(directory: Path) -> None:
    manifest = read_manifest(directory)
    huge = {TABLE_FILE: FileDigest(sha256=manifest.files[TABLE_FILE].sha256, bytes=3 * 2**30)}
    write_manifest(directory, manifest.model_copy(update={"files": {**manifest.files, **huge}}))


def make_a_pipe_of_the_manifest(directory: Path) -> None:
    (directory / MANIFEST_FILE).unlink()
    os.mkfifo(directory / MANIFEST_FILE)  # reading it would wait for ever


DAMAGES: list[tuple[Damage, str]] = [
    (flip_a_bit, f"sha256 of {TABLE_FILE} differs from the manifest; stage it again"),
    (lambda d: (d / TABLE_FILE).write_bytes(TABLE[:-1]), f"{TABLE_FILE} has 1023 bytes, the manifest says 1024"),
    (lambda d: (d / TABLE_FILE).write_bytes(TABLE + b"\0"), f"{TABLE_FILE} has 1025 bytes, the manifest says 1024"),
    (lambda d: (d / TABLE_FILE).write_bytes(b""), f"{TABLE_FILE} has 0 bytes"),
    (lambda d: (d / TABLE_FILE).unlink(), f"{TABLE_FILE} is missing or not a plain file"),
    (lambda d: (d / "extra.bin").touch(), "file extra.bin is not in the manifest"),
    (lambda d: (d / "extra").mkdir(), "file extra is not in the manifest"),
    (link_the_table, f"{TABLE_FILE} is missing or not a plain file"),
    (name_a_file_outside, "no readable manifest.json (files."),
    (name_a_file_by_its_full_path, "no readable manifest.json (files."),
    (claim_a_size, f"{TABLE_FILE} has 1024 bytes, the manifest says {3 * 2**30}"),
    (lambda d: (d / MANIFEST_FILE).unlink(), "manifest.json is missing or not a plain file"),
    (link_the_manifest, "manifest.json is missing or not a plain file"),
    (make_a_pipe_of_the_manifest, "manifest.json is missing or not a plain file"),
    (lambda d: (d / MANIFEST_FILE).write_bytes(b"\xff{"), "no readable manifest.json"),
    (lambda d: (d / MANIFEST_FILE).write_text("{}"), "no readable manifest.json"),
    (lambda d: (d / MANIFEST_FILE).write_text("[" * 100_000), "no readable manifest.json"),
]


def verify(directory: Path) -> None:
    verify_files(directory, read_manifest(directory))


def test_an_untouched_version_is_whole(version: Path) -> None:
    verify(version)


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_damaged_version_is_refused_with_the_reason(version: Path, damage: Damage, reason: str) -> None:
    damage(version)
    with pytest.raises(VersionCorrupt, match="version 000001") as refusal:
        verify(version)
    assert reason in str(refusal.value)


@pytest.mark.parametrize("change", [{"schema_version": 99}, {"schema_version": 0}])
def test_a_manifest_of_another_schema_is_refused(version: Path, change: dict[str, int]) -> None:
    write_manifest(version, read_manifest(version).model_copy(update=change))
    with pytest.raises(VersionCorrupt, match=f"schema {change['schema_version']}, this release reads 3"):
        read_manifest(version)


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = write_version(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert manifest.metrics["ece"] is None


def test_a_manifest_of_an_older_release_is_said_to_be_of_its_schema(version: Path) -> None:
    old = json.loads((version / MANIFEST_FILE).read_bytes()) | {"schema_version": 1}
    del old["layout"]
    (version / MANIFEST_FILE).write_text(json.dumps(old))
    with pytest.raises(VersionCorrupt, match="schema 1, this release reads 3; let its trainer publish anew"):
        read_manifest(version)


@pytest.mark.parametrize(
    "change", [{"side_rows": LEAST_SIDE_ROWS - 1}, {"history": -1}, {"history": MAX_HISTORY + 1}, {"side_rows": None}]
)
def test_sizes_that_cannot_be_served_are_refused(version: Path, change: dict[str, int | None]) -> None:
    content = json.loads((version / MANIFEST_FILE).read_bytes())
    (version / MANIFEST_FILE).write_text(json.dumps(content | {"layout": content["layout"] | change}))
    with pytest.raises(VersionCorrupt, match=r"no readable manifest\.json"):
        read_manifest(version)


def test_a_sealed_manifest_that_says_anything_else_is_refused(version: Path) -> None:
    write_manifest(version, sealed(read_manifest(version)))
    content = json.loads((version / MANIFEST_FILE).read_bytes())
    content["trained_through"]["acknowledged_ms"] += 1  # valid, and every answer would show it
    (version / MANIFEST_FILE).write_text(json.dumps(content))
    with pytest.raises(VersionCorrupt, match=r"manifest\.json is not what was sealed"):
        read_manifest(version)


def test_a_sealed_manifest_is_read_however_it_is_set(version: Path) -> None:
    manifest = sealed(read_manifest(version))
    (version / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=3))
    assert read_manifest(version) == manifest
    assert sealed(manifest) == manifest

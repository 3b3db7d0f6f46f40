"""Version directories of a few bytes, whole and valid: for whoever tests the registry and not the model."""

from pathlib import Path

from contract.manifest import (
    MANIFEST_FILE,
    Calibration,
    Manifest,
    TrainedThrough,
    digest_files,
)
from contract.registry import Registry
from contract.space import SpaceShape
from contract.tables import Base, Layout, Spaces

TABLE_FILE = "items.bin"
_SHAPE = SpaceShape(rows=2, width=0, slots=8, known_ids=1)
SPACES = Spaces(users=_SHAPE, items=_SHAPE, sides=_SHAPE)
TABLE = bytes(range(256)) * 4


def write_version(directory: Path, table: bytes = TABLE, base: Base | None = None) -> Manifest:
    """Write two small files and the manifest that fits them."""
    (directory / "model.onnx").write_bytes(b"no graph")
    (directory / TABLE_FILE).write_bytes(table)
    manifest = Manifest(
        created_ms=1_795_593_601_000,
        producer="tests",
        backbone="gmf",
        target="evidence",
        seed=1,
        parent=None,
        trained_through=TrainedThrough(events=5, acknowledged_ms=7, event_at_ms=6, position={"0": "7-0"}),
        prior=0.02,
        calibration=Calibration(scale=1.0, offset=0.0, threshold=0.5),
        metrics={"auc": 0.74, "ece": None},
        verdict="PROMOTE",
        reasons=["better than the champion"],
        layout=Layout(intercept=(0.0, 0.0), spaces=SPACES, side_rows=1_024, base=base),
        files=digest_files(directory),
    )
    write_manifest(directory, manifest)
    return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write, or overwrite, a manifest."""
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())


def stage_version(registry: Registry, quarantine: bool = False, base: str | None = None) -> str:
    """Stage one small version, with a `base` as a delta on it; return its number."""
    directory = registry.new_staging()
    write_version(directory, base=Base(version=base, manifest_sha256="0" * 64) if base else None)
    return registry.stage(directory, quarantine)

"""The manifest of a version: everything the service must know and check before it serves one.

A version is a directory of files; `manifest.json` names each with its SHA-256 and says what is in it. The service needs
nothing else: no code of the trainer, no other version. Layout of a version directory:

    manifest.json
    model.onnx          the fixed graph of the backbone; its tables are external data
    <table>.bin         one raw little-endian float32 table each, memory-mapped by onnxruntime
    users.keys.bin      id index of the users: uint64 slots (see contract.hash_index)
    users.rows.bin      and their int32 rows
    items.keys.bin, items.rows.bin
    probe.json          rows and the outputs they must give

The graph's contract: inputs `user` int64 [1 or N] and `item` int64 [N], both rows; outputs `logit`, `score`,
`confidence` float32 [N] and `label` int64 [N]; a graph may add `parts` float32 [N, 4] (base, user, item, match),
which sum to the logit.
"""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.durable import sha256_of
from contract.errors import VersionCorrupt
from contract.hash_index import MISSING, HashIndex

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
PROBE_FILE = "probe.json"
SCHEMA = 1
SIDES = ("users", "items")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileDigest(_Frozen):
    """One file of a version."""

    sha256: str
    bytes: int


class IdIndexShape(_Frozen):
    """The id index of one side."""

    slots: int
    known_ids: int
    rows: int = Field(description="rows of the side's tables, row 0 (unknown) included")


class Calibration(_Frozen):
    """score = sigmoid(scale * logit + offset); label = score > threshold."""

    scale: float
    offset: float
    threshold: float


class TrainedThrough(_Frozen):
    """Which events are in a version."""

    events: int = Field(description="events stepped through since the first, the gate's holdout included")
    acknowledged_ms: int = Field(description="server time below which every acknowledged event is in")
    event_at_ms: int = Field(description="latest event time seen")
    position: dict[str, str] = Field(description="partition -> last stream id")


class Manifest(_Frozen):
    """Everything about a version but its number, which the registry gives."""

    schema_version: int = SCHEMA
    created_ms: int
    producer: str = Field(description="package and release that wrote it")
    backbone: str
    target: str
    seed: int
    parent: str | None = Field(description="the champion when it was made")
    trained_through: TrainedThrough
    prior: float = Field(description="share of explicit positives among recent exposures")
    calibration: Calibration
    metrics: dict[str, float | None]
    verdict: str = Field(description="what the gate said: PROMOTE, HOLD or REJECT")
    reasons: list[str]
    indexes: dict[str, IdIndexShape]
    files: dict[str, FileDigest]


class Probe(_Frozen):
    """Rows and the outputs the trainer's own torch model gave for them."""

    user: list[int]
    item: list[int]
    logit: list[float]
    score: list[float]
    confidence: list[float]
    label: list[int]
    tolerance: float = 1e-5


def digest_files(directory: Path) -> dict[str, FileDigest]:
    """Return the digest of every file but the manifest."""
    return {
        path.name: FileDigest(sha256=sha256_of(path), bytes=path.stat().st_size)
        for path in sorted(directory.iterdir())
        if path.name != MANIFEST_FILE
    }


def read_manifest(directory: Path) -> Manifest:
    """Read a version's manifest. Raises VersionCorrupt if it is missing or not one of this schema."""
    path = directory / MANIFEST_FILE
    if path.is_symlink() or not path.is_file():
        raise VersionCorrupt(f"version {directory.name}: {MANIFEST_FILE} is missing or not a plain file")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise VersionCorrupt(
            f"version {directory.name}: no readable {MANIFEST_FILE} ({type(error).__name__})"
        ) from error
    if manifest.schema_version != SCHEMA:
        raise VersionCorrupt(f"version {directory.name}: schema {manifest.schema_version}, this release reads {SCHEMA}")
    return manifest


def verify_files(directory: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises VersionCorrupt naming the first that differs."""
    present = {path.name for path in directory.iterdir()} - {MANIFEST_FILE}
    if extra := present - manifest.files.keys():
        raise VersionCorrupt(f"version {directory.name}: file {min(extra)} is not in the manifest")
    for name, expected in manifest.files.items():
        path = directory / name
        if name not in present or path.is_symlink() or not path.is_file():  # `present` holds no ../name
            raise VersionCorrupt(f"version {directory.name}: file {name} is missing or not a plain file")
        if path.stat().st_size != expected.bytes:
            raise VersionCorrupt(
                f"version {directory.name}: {name} has {path.stat().st_size} bytes, the manifest says {expected.bytes}"
            )
        if sha256_of(path) != expected.sha256:
            raise VersionCorrupt(
                f"version {directory.name}: sha256 of {name} differs from the manifest; stage it again"
            )


def write_index(directory: Path, side: str, index: HashIndex) -> None:
    """Write one side's id index as two raw arrays."""
    (directory / f"{side}.keys.bin").write_bytes(index.keys.astype("<u8", copy=False).tobytes())
    (directory / f"{side}.rows.bin").write_bytes(index.values.astype("<i4", copy=False).tobytes())


def open_index(directory: Path, side: str, shape: IdIndexShape) -> HashIndex:
    """Memory-map one side's id index, read-only. Raises VersionCorrupt if a search in it might never end."""
    try:
        keys = np.memmap(directory / f"{side}.keys.bin", dtype="<u8", mode="r")
        rows = np.memmap(directory / f"{side}.rows.bin", dtype="<i4", mode="r")
    except (OSError, ValueError) as error:
        raise VersionCorrupt(f"the id index of {side} cannot be read ({error})") from error
    if not len(keys) == len(rows) == shape.slots or shape.slots & (shape.slots - 1):
        raise VersionCorrupt(
            f"the id index of {side} has {len(keys)} keys and {len(rows)} rows, "
            f"the manifest says {shape.slots} slots, which should be a power of two"
        )
    if rows.max() >= shape.rows or rows.min() < MISSING:
        raise VersionCorrupt(f"the id index of {side} has rows past {shape.rows - 1}, or below {MISSING}")
    if np.count_nonzero(keys) > 0.75 * shape.slots:
        raise VersionCorrupt(f"the id index of {side} has less than a quarter of its slots empty")
    return HashIndex(keys, rows)

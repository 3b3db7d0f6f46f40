"""The manifest of a version: everything the service must know and check before it serves one.

A version is a directory of files; `manifest.json` names each with its SHA-256 and says what is in it. The service needs
nothing else: no code of the trainer, no other version. Layout of a version directory:

    manifest.json
    model.onnx          the fixed graph of the backbone; its tables are external data
    <table>.bin         one raw little-endian float32 table each, memory-mapped by onnxruntime
    users.keys.bin      id index of the users: uint64 slots (see contract.hash_index)
    users.rows.bin      and their int32 rows
    items.keys.bin, items.rows.bin
    users.history.bin   only where `history` > 0: int32 item rows [rows of users, history] (see contract.histories)
    belief.json         what turns a logit and a watch into the probability of relevance (see contract.belief)
    probe.json          rows and the outputs they must give

The graph's contract, schema 2. Every input is int64 and holds rows:

    user     [1 or N]      0 is every unknown user
    item     [N]           0 is every unknown item
    side     [N, 7]        side features in the slots of contract.side, 0 is nothing
    history  [1, history]  only where `history` > 0: the user's latest positives, oldest first, right-aligned, 0 is none

A known item has its author, tags and duration folded into its own row, so for it only the surface is passed; for an
unknown item all that the request gives. Outputs, of which `parts` may be left out:

    logit, score, confidence  float32 [N]     score = sigmoid(scale * logit + offset)
    label                     int64 [N]       1 where the score exceeds the threshold
    watch                     float32 [N]     logit of the watch quantile, as far as counts tell before the watch
    parts                     float32 [N, 5]  base, user, item, match, context; they sum to the logit

An onnxruntime for serving computes every output of its graph, whether it is asked for or not: keep `parts` cheap.
"""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.durable import sha256_of
from contract.errors import VersionCorrupt
from contract.hash_index import MISSING, HashIndex
from contract.side import LEAST_SIDE_ROWS

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
PROBE_FILE = "probe.json"
SCHEMA = 2
SIDES = ("users", "items")
MAX_HISTORY = 512
PARTS = 5  # base, user, item, match, context


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
    side_rows: int = Field(ge=LEAST_SIDE_ROWS, description="rows of the side table, row 0 (nothing) included")
    history: int = Field(default=0, ge=0, le=MAX_HISTORY, description="positives the graph reads of a user; 0 = none")
    files: dict[str, FileDigest]


class _AnySchema(BaseModel):
    """A manifest of any release, as far as it says its schema."""

    schema_version: int


class Probe(_Frozen):
    """Rows and the outputs the trainer's own torch model gave for them, column by column."""

    user: list[int]
    item: list[int]
    side: list[list[int]] = Field(description="7 rows of the side table a probe row")
    history: list[list[int]] = Field(description="`history` item rows a probe row; empty where the version reads none")
    logit: list[float]
    score: list[float]
    confidence: list[float]
    label: list[int]
    watch: list[float]
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
        content = path.read_bytes()
        schema = _AnySchema.model_validate_json(content).schema_version
        if schema != SCHEMA:
            raise VersionCorrupt(
                f"version {directory.name}: schema {schema}, this release reads {SCHEMA}; let its trainer publish anew"
            )
        return Manifest.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise VersionCorrupt(
            f"version {directory.name}: no readable {MANIFEST_FILE} ({type(error).__name__})"
        ) from error


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

"""The manifest of a version: everything the service must know and check before it serves one.

A version is a directory of files; `manifest.json` names each with its SHA-256 and says what is in it. The service needs
nothing else but, for a delta, the one version that it stands on: no code of the trainer. Layout of a version directory:

    manifest.json
    model.onnx          the graph of the backbone with its small weights
    <space>.*.bin       tables and id indexes of users, items and sides (see contract.space)
    users.history.bin   only where `history` > 0: int32 item rows [rows of users, history] (see contract.histories)
    belief.json         what turns a logit and a watch into the probability of relevance (see contract.belief)
    probe.json          rows and the outputs they must give
    judgement.json      what the gate said, in figures (see contract.judgement); nobody needs it to serve

Of a pair there are the plain terms, which need no graph:

    plain = intercept[0] + users.terms[user, 0] + items.terms[item, 0] + sum over s in side of sides.terms[s, 0]
    watch = the same of column 1: the logit of the watch quantile, as far as counts tell before the watch

A known item has its author, tags and duration folded into its own row, so for it `side` is only the surface; for an
unknown item it is all that is told (contract.side), whose vectors, if `sides` have any, are added to the item's.

The graph's contract, schema 3:

    item     float32 [N, width of items]
    user     float32 [1 or N, width of users]       only where that width is not 0
    plain    float32 [N]
    history  int64 [1, history]                     only where `history` > 0: the user's latest positives as item rows,
                                                    oldest first, right-aligned, 0 is none
    past     float32 [1, history, width of items]   with it: the vectors of those rows

    logit, score, confidence  float32 [N]           logit = match + plain, score = sigmoid(scale * logit + offset)
    label                     bool [N]              whether the score exceeds the threshold

An onnxruntime for serving computes every output of its graph, whether it is asked for or not, and a node costs a
microsecond or more: the graph holds what depends on the backbone or must be calibrated, and no more.
"""

import hashlib
import stat
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.durable import sha256_of
from contract.errors import VersionCorrupt
from contract.tables import Layout

MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
PROBE_FILE = "probe.json"
SCHEMA = 3
MAX_MANIFEST_BYTES = 1 << 20
MAX_FILES = 64
MAX_TOLERANCE = 1e-3  # a probe that takes any answer proves nothing
_LATEST_MS = 4_102_444_800_000  # 2100: a clock that is an hour off is no fault of the version, one in 3000 is
_FILE_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileDigest(_Frozen):
    """One file of a version."""

    sha256: str
    bytes: int = Field(ge=0)


class Calibration(_Frozen):
    """score = sigmoid(scale * logit + offset); label = score > threshold."""

    scale: float
    offset: float
    threshold: float


class TrainedThrough(_Frozen):
    """Which events are in a version."""

    events: int = Field(description="events stepped through since the first, the gate's holdout included")
    acknowledged_ms: int = Field(
        ge=0, le=_LATEST_MS, description="server time below which every acknowledged event is in"
    )
    event_at_ms: int = Field(description="latest event time seen")
    position: dict[str, str] = Field(description="partition -> last stream id")


class Manifest(_Frozen):
    """Everything about a version but its number, which the registry gives."""

    schema_version: int = SCHEMA
    created_ms: int = Field(ge=0, le=_LATEST_MS)
    producer: str = Field(description="package and release that wrote it")
    backbone: str
    target: str
    seed: int
    parent: str | None = Field(description="the champion when it was made")
    trained_through: TrainedThrough
    prior: float = Field(ge=0, le=1, description="share of explicit positives among recent exposures")
    calibration: Calibration
    metrics: dict[str, float | None]
    verdict: str = Field(description="what the gate said: PROMOTE, HOLD or REJECT")
    reasons: list[str]
    layout: Layout = Field(description="how its tables lie and what they are summed with")
    files: dict[Annotated[str, Field(pattern=_FILE_NAME)], FileDigest] = Field(max_length=MAX_FILES)
    seal: str | None = Field(default=None, description="SHA-256 of all of the above; null in versions from before it")


class _AnySchema(BaseModel):
    """A manifest of any release, as far as it says its schema."""

    schema_version: int


class Probe(_Frozen):
    """Rows and the outputs the trainer's own torch model gave for them, column by column."""

    user: list[int] = Field(description="rows as contract.space numbers them")
    item: list[int]
    side: list[list[int]] = Field(description="7 side features a probe row, as contract.side hashes them")
    history: list[list[int]] = Field(description="`history` item rows a probe row; empty where the version reads none")
    logit: list[float]
    score: list[float]
    confidence: list[float]
    label: list[int]
    watch: list[float]
    tolerance: float = Field(default=1e-5, gt=0, le=MAX_TOLERANCE)


def sealed(manifest: Manifest) -> Manifest:
    """Return a manifest with the digest of all that it says: files have theirs in it, and nothing else has its own."""
    said = manifest.model_dump_json(exclude={"seal"})
    return manifest.model_copy(update={"seal": hashlib.sha256(said.encode()).hexdigest()})


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
    size = _size(path)
    if size is None:
        raise VersionCorrupt(f"version {directory.name}: {MANIFEST_FILE} is missing or not a plain file")
    if size > MAX_MANIFEST_BYTES:
        raise VersionCorrupt(
            f"version {directory.name}: {MANIFEST_FILE} has {size} bytes, the bound is {MAX_MANIFEST_BYTES}"
        )
    try:
        content = path.read_bytes()
        schema = _AnySchema.model_validate_json(content).schema_version
        if schema != SCHEMA:
            raise VersionCorrupt(
                f"version {directory.name}: schema {schema}, this release reads {SCHEMA}; let its trainer publish anew"
            )
        manifest = Manifest.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise VersionCorrupt(f"version {directory.name}: no readable {MANIFEST_FILE} ({_complaint(error)})") from error
    if manifest.seal is not None and manifest.seal != sealed(manifest).seal:
        raise VersionCorrupt(f"version {directory.name}: {MANIFEST_FILE} is not what was sealed; stage it again")
    return manifest


def through_ms_of(directory: Path) -> int:
    """Return the log's time below which a version has learned everything; 0 if its manifest cannot be read."""
    try:
        return read_manifest(directory).trained_through.acknowledged_ms
    except VersionCorrupt:
        return 0


def verify_files(directory: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest. Raises VersionCorrupt naming the first that differs.

    All names and sizes are looked at before any content is, so that what is far too large is refused at once.
    """
    present = {path.name for path in islice(directory.iterdir(), MAX_FILES + 2)} - {MANIFEST_FILE}
    if extra := present - manifest.files.keys():
        raise VersionCorrupt(f"version {directory.name}: file {min(extra)} is not in the manifest")
    for name, expected in manifest.files.items():
        size = _size(directory / name)  # the manifest takes no ../name
        if size is None:
            raise VersionCorrupt(f"version {directory.name}: file {name} is missing or not a plain file")
        if size != expected.bytes:
            raise VersionCorrupt(
                f"version {directory.name}: {name} has {size} bytes, the manifest says {expected.bytes}"
            )
    for name, expected in manifest.files.items():
        if sha256_of(directory / name) != expected.sha256:
            raise VersionCorrupt(
                f"version {directory.name}: sha256 of {name} differs from the manifest; stage it again"
            )


def _size(path: Path) -> int | None:
    """Return the size of a plain file; None for what is none: a link, a pipe, a device, a directory, nothing."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _complaint(error: OSError | ValidationError) -> str:
    """Return what is wrong with a manifest, in a line, without what it held."""
    if isinstance(error, OSError):
        return type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part)[:40] for part in first['loc']) or 'JSON'}: {first['msg'][:120]}"

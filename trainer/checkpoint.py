"""Checkpoints: everything the trainer needs to go on, and the position it stands for, in one file.

One safetensors file holds all arrays, and a JSON text in its header the account and the position. Its name carries the
SHA-256 of its content, so a torn or altered file is found before it is read. It is written aside, brought to disk and
renamed: after any crash the newest whole checkpoint is some prefix of each partition (promise P3).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from contract.durable import write_atomically
from contract.errors import CheckpointError
from contract.event_log import BEGINNING, Anchors, Position, StreamId
from contract.hashing import PARTITIONS
from trainer.settings import LearnerSettings, TrainerSettings

_NAME = re.compile(r"(\d{8})-([0-9a-f]{64})\.safetensors")
_ACCOUNT = "winnow"


@dataclass(frozen=True)
class Account:
    """Where every acknowledged event went: read = trained + duplicates + dead."""

    trained: int = 0  # stepped through, the gate's holdout and what is over a cap included
    held_out: int = 0  # of those, never learned
    capped: int = 0  # of those, over a cap: scored only
    duplicates: int = 0
    dead: int = 0
    event_at_ms: int = 0  # latest event time seen
    acknowledged_ms: int = 0  # server time below which every event is in
    forgotten: int = 0  # tombstones of users that were reached
    forgotten_in: int = 0  # the first checkpoint that covers the latest of them

    @property
    def read(self) -> int:
        """Events read from the log."""
        return self.trained + self.duplicates + self.dead

    @property
    def progress(self) -> int:
        """What rises with every event and every tombstone that is read."""
        return self.read + self.forgotten


@dataclass(frozen=True)
class Checkpoint:
    """One point to go on from."""

    number: int
    position: Position
    account: Account
    quality: dict[str, Any]  # progressive figures, for whoever reads the checkpoint
    fingerprint: str  # of the settings the state fits
    state: dict[str, npt.NDArray[Any]]
    anchors: Anchors = field(default_factory=dict)  # what stood at the position
    rewinds: dict[int, int] = field(default_factory=dict)  # how often each partition was read anew from its beginning


class CheckpointStore:
    """The checkpoints under one directory."""

    def __init__(self, directory: Path, keep: int) -> None:
        """Open, or make, the store; `keep` newest checkpoints are kept."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.keep = keep
        self._kept: dict[int, _Reached] = {}

    def write(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint durably, then delete those older than the newest `keep`."""
        facts = {
            "position": {str(partition): str(at) for partition, at in checkpoint.position.items()},
            "account": asdict(checkpoint.account),
            "quality": checkpoint.quality,
            "fingerprint": checkpoint.fingerprint,
            "anchors": checkpoint.anchors,
            "rewinds": checkpoint.rewinds,
        }
        content = save(
            {name: np.ascontiguousarray(array) for name, array in checkpoint.state.items()},
            {_ACCOUNT: json.dumps(facts)},
        )
        path = self.directory / f"{checkpoint.number:08d}-{hashlib.sha256(content).hexdigest()}.safetensors"
        write_atomically(path, content)
        self._kept[checkpoint.number] = _Reached(checkpoint.position, checkpoint.rewinds)
        for old in self.files()[: -self.keep]:
            old.unlink()
        return path

    def files(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        return sorted(path for path in self.directory.iterdir() if _NAME.fullmatch(path.name))

    def newest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, or None if there was never one.

        Damaged files are set aside as *.damaged. Raises CheckpointError if all are damaged: going on from nothing
        would forget what was learned, and the log may be trimmed already.
        """
        files = self.files()
        for path in reversed(files):
            try:
                return self.read(path)
            except CheckpointError:
                path.rename(path.with_suffix(".damaged"))
        if files:
            raise CheckpointError(
                f"none of the {len(files)} checkpoints in {self.directory} is whole; restore one from a backup, or "
                "move the directory away to start anew from what the log still holds"
            )
        return None

    def read(self, path: Path) -> Checkpoint:
        """Read one checkpoint. Raises CheckpointError if its content is not what its name says."""
        content, name = path.read_bytes(), _NAME.fullmatch(path.name)
        if name is None or hashlib.sha256(content).hexdigest() != name[2]:
            raise CheckpointError(f"checkpoint {path.name}: content differs from the digest in its name")
        try:
            facts = _facts(content)
            state = load(content)
        except (SafetensorError, ValueError, KeyError) as error:
            raise CheckpointError(f"checkpoint {path.name}: {error}") from error
        number, position = int(name[1]), {int(p): StreamId.parse(at) for p, at in facts["position"].items()}
        anchors, rewinds = ({int(p): n for p, n in facts.get(name, {}).items()} for name in ("anchors", "rewinds"))
        self._kept[number] = _Reached(position, rewinds)
        account = Account(**facts["account"])
        return Checkpoint(number, position, account, facts["quality"], facts["fingerprint"], state, anchors, rewinds)

    def oldest_position(self) -> Position:
        """Return the position that every kept checkpoint covers: what may be trimmed.

        Where a partition was read anew between them, an older one covers nothing of what was read since.
        """
        kept = [self._reached(path) for path in self.files()]
        return {
            partition: min(each.position.get(partition, BEGINNING) for each in kept)
            if len({each.rewinds.get(partition, 0) for each in kept}) == 1
            else BEGINNING
            for partition in range(PARTITIONS)
        }

    def oldest_number(self) -> int:
        """Return the oldest checkpoint that a restart may come back to; 0 before the first."""
        return min((int(path.name[:8]) for path in self.files()), default=0)

    def written_at(self) -> float | None:
        """Return when the newest was written, in seconds since the epoch; None before the first."""
        files = self.files()
        return files[-1].stat().st_mtime if files else None

    def _reached(self, path: Path) -> "_Reached":
        number = int(path.name[:8])
        if number not in self._kept:
            self.read(path)
        return self._kept[number]


@dataclass(frozen=True)
class _Reached:
    position: Position
    rewinds: dict[int, int]


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a digest of the settings that fix the shape and meaning of a state."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def fingerprint_of(settings: TrainerSettings) -> str:
    """Return the digest for a trainer: the device, Inverse Gradient's cadence and the holdout's share may change."""
    free = {"device", "meta", "meta_inner", "meta_rate", "meta_every", "holdout_share"}
    shaping = settings.model_dump(include=set(LearnerSettings.model_fields) - free)
    return fingerprint(shaping | {"dedupe_events": settings.dedupe_events})


def _facts(content: bytes) -> dict[str, Any]:
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    facts: dict[str, Any] = json.loads(header["__metadata__"][_ACCOUNT])
    return facts

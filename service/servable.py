"""One version, loaded and proven: what a score request asks.

A `Servable` never changes, so a request that holds one sees exactly one version (P6). `open_version` refuses a version
whose files differ from its manifest, whose tables hold a number that is not finite, or whose graph does not give the
probe's answers when it is asked the way requests ask it (P4).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from contract.errors import VersionCorrupt
from contract.hash_index import HashIndex
from contract.hashing import id_keys
from contract.id_table import UNKNOWN_ROW, Rows, rows_of
from contract.manifest import MODEL_FILE, PROBE_FILE, SIDES, Manifest, Probe, open_index, read_manifest, verify_files

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it would otherwise report to its maker
import onnxruntime

Floats = npt.NDArray[np.float32]

_OUTPUTS = ["logit", "score", "confidence", "label"]
_TYPES = {
    "user": "tensor(int64)",
    "item": "tensor(int64)",
    "logit": "tensor(float)",
    "score": "tensor(float)",
    "confidence": "tensor(float)",
    "label": "tensor(int64)",
    "parts": "tensor(float)",
}
_FINITE_CHECK_VALUES = 1 << 20  # table values looked at in one go: 4 MB


@dataclass(frozen=True)
class Answer:
    """What a servable says of one user's candidates, in the order asked. Arrays of length N."""

    score: Floats
    confidence: Floats
    label: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    known_user: bool
    parts: Floats | None  # [N, 4]: base, user, item, match; None if not asked for, or not in the graph


class Servable(Protocol):
    """A loaded version, or the built-in prior."""

    @property
    def version(self) -> str:
        """The registry's name for it."""

    @property
    def trained_through_ms(self) -> int | None:
        """Server time below which every acknowledged event was learned."""

    @property
    def fallback(self) -> bool:
        """Whether this is the built-in prior."""

    def answer(self, user_id: str, item_ids: Sequence[str], explain: bool) -> Answer:
        """Score one user's candidates."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version of the registry, its tables and indexes mapped from its directory."""

    version: str
    trained_through_ms: int
    fallback: bool
    _session: onnxruntime.InferenceSession
    _users: HashIndex
    _items: HashIndex
    _explains: bool

    def answer(self, user_id: str, item_ids: Sequence[str], explain: bool) -> Answer:
        """Score one user's candidates in one run of the graph, in the calling thread."""
        user = rows_of(self._users, id_keys([user_id]))
        item = rows_of(self._items, id_keys(item_ids))
        outputs = _OUTPUTS[1:] + (["parts"] if explain and self._explains else [])
        score, confidence, label, *parts = _run(self._session, outputs, user, item)
        return Answer(
            score=score,
            confidence=confidence,
            label=label.astype(np.int64, copy=False),
            known=item != UNKNOWN_ROW,
            known_user=bool(user[0] != UNKNOWN_ROW),
            parts=parts[0] if parts else None,
        )


def open_version(directory: Path) -> LoadedVersion:
    """Load and prove the version in `directory`. Blocks: call it in a worker thread. Raises VersionCorrupt."""
    name = directory.name
    manifest = read_manifest(directory)
    verify_files(directory, manifest)
    try:
        _check_tables_are_finite(directory, manifest)
        users, items = (open_index(directory, side, manifest.indexes[side]) for side in SIDES)
        session = onnxruntime.InferenceSession(str(directory / MODEL_FILE), _options(), ["CPUExecutionProvider"])
        probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
        _check_signature(name, session)
        _run(session, _OUTPUTS, *_last_rows(manifest))  # an index can lead to any row of its tables
        _replay(name, session, probe)
        datetime.fromtimestamp(manifest.trained_through.acknowledged_ms / 1000, UTC)  # every answer will show it
    except (VersionCorrupt, OSError):
        raise
    except Exception as error:  # whatever onnxruntime or NumPy dislike about the files, the old version serves on
        raise VersionCorrupt(f"version {name}: it does not load ({type(error).__name__}: {error})") from error
    explains = any(output.name == "parts" for output in session.get_outputs())
    return LoadedVersion(name, manifest.trained_through.acknowledged_ms, False, session, users, items, explains)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a run ends in the thread that asked: no hand-over, no waiting
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # each number of candidates would keep a pattern of its own
    options.log_severity_level = 4  # a refusal is logged once, by the slot
    return options


def _run(session: onnxruntime.InferenceSession, outputs: Sequence[str], user: Rows, item: Rows) -> list[Floats]:
    rows = {"user": user.astype(np.int64), "item": item.astype(np.int64)}
    return cast(list[Floats], session.run(outputs, rows))


def _check_tables_are_finite(directory: Path, manifest: Manifest) -> None:
    indexes = {f"{side}.{part}.bin" for side in SIDES for part in ("keys", "rows")}
    for name in manifest.files.keys() - indexes:
        if name.endswith(".bin") and (directory / name).stat().st_size:
            table = np.memmap(directory / name, dtype="<f4", mode="r")
            for start in range(0, len(table), _FINITE_CHECK_VALUES):
                if not np.isfinite(table[start : start + _FINITE_CHECK_VALUES]).all():
                    raise VersionCorrupt(f"version {directory.name}: {name} holds a number that is not finite")


def _check_signature(name: str, session: onnxruntime.InferenceSession) -> None:
    inputs = {node.name: node.type for node in session.get_inputs()}
    outputs = {node.name: node.type for node in session.get_outputs()}
    if inputs.keys() != {"user", "item"} or not {*_OUTPUTS} <= outputs.keys() <= _TYPES.keys():
        raise VersionCorrupt(
            f"version {name}: the graph maps {sorted(inputs)} to {sorted(outputs)}, which is not its contract"
        )
    if wrong := [node for node, kind in (inputs | outputs).items() if kind != _TYPES[node]]:
        raise VersionCorrupt(f"version {name}: the graph has another type than its contract for {', '.join(wrong)}")


def _last_rows(manifest: Manifest) -> tuple[Rows, Rows]:
    user, item = (np.array([manifest.indexes[side].rows - 1], np.int32) for side in SIDES)
    return user, item


def _replay(name: str, session: onnxruntime.InferenceSession, probe: Probe) -> None:
    """Ask for every probe row, user by user as requests do, and compare."""
    users, items = np.array(probe.user, np.int32), np.array(probe.item, np.int32)
    if not users.size:
        raise VersionCorrupt(f"version {name}: the probe is empty, so nothing proves the version")
    for user in np.unique(users):
        chosen = users == user
        answers = _run(session, _OUTPUTS, np.array([user], np.int32), items[chosen])
        for output, answer in zip(_OUTPUTS, answers, strict=True):
            expected = np.array(getattr(probe, output))[chosen]
            if answer.shape != expected.shape or not np.isfinite(answer).all():
                raise VersionCorrupt(f"version {name}: {output} has shape {answer.shape}, or is not finite")
            if not (worst := float(np.abs(answer - expected).max())) <= probe.tolerance:
                raise VersionCorrupt(
                    f"version {name}: {output} is {worst:.3g} away from the probe, the bound is {probe.tolerance:g}"
                )

"""A version on disk: the backbone's fixed graph, its tables as raw files, id indexes, and the proof that they agree.

The graph is written as ONNX text, not traced: it is a dozen lines, the same for every version, and only tables change.
Tables stand outside the protobuf, so that onnxruntime maps them. What was written is opened again and must answer probe
rows as torch does.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, external_data_helper, numpy_helper

from contract.errors import VersionCorrupt
from contract.id_table import rows_of
from contract.manifest import (
    MODEL_FILE,
    PROBE_FILE,
    Calibration,
    IdIndexShape,
    Manifest,
    Probe,
    open_index,
    write_index,
)
from models.backbone import Backbone
from trainer.annotator import sigmoid
from trainer.learner import Learner
from trainer.waiting import Held

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it would otherwise report to its maker
import onnxruntime as ort

Floats = npt.NDArray[np.float64]

PARITY_TOLERANCE = 1e-5
PROBE_ROWS = 256
_SMALL_BYTES = 1_024  # smaller initializers stay inside the protobuf

_MODEL_TEXT = """
<ir_version: 9, opset_import: ["": 17], producer_name: "winnow">
backbone (int64[U] user, int64[N] item)
    => (float[N] logit, float[N] score, float[N] confidence, int64[N] label, float[N, 4] parts)
{{
{backbone}
        scaled = Mul (logit, scale)
        shifted = Add (scaled, offset)
        score = Sigmoid (shifted)
        above = Greater (score, threshold)
        label = Cast <to = 7> (above)
        one = Constant <value_float = 1.0> ()
        against = Sub (one, score)
        confidence = Where (above, score, against)
}}
"""


@dataclass(frozen=True)
class Exported:
    """A version that was written but has no manifest yet."""

    directory: Path
    indexes: dict[str, IdIndexShape]
    parity: float  # largest difference between torch and onnxruntime on the probe rows


def export(learner: Learner, directory: Path) -> Exported:
    """Write model, tables, indexes and probe of the learner as it is now into an empty directory."""
    users, items = learner.users.row_count, learner.items.row_count
    with torch.no_grad():
        tables = {name: tensor.cpu().numpy() for name, tensor in learner.backbone.serving_tables(users, items).items()}
    calibration = learner.annotator.calibration
    tables |= {name: np.array([value], np.float32) for name, value in calibration.model_dump().items()}
    _write_model(directory, learner.backbone, tables)
    indexes = {}
    for side, table in (("users", learner.users), ("items", learner.items)):
        write_index(directory, side, table.index)
        indexes[side] = IdIndexShape(slots=len(table.index.keys), known_ids=table.known_ids, rows=table.row_count)
    probe = make_probe(learner, calibration)
    (directory / PROBE_FILE).write_text(probe.model_dump_json())
    return Exported(directory, indexes, _parity(directory, probe))


def make_probe(learner: Learner, calibration: Calibration) -> Probe:
    """Return rows spread over the tables, unknown ones included, and torch's answers for them."""
    user, item = (
        np.linspace(0, table.row_count - 1, PROBE_ROWS).astype(np.int32) for table in (learner.users, learner.items)
    )
    item = item[::-1].copy()  # pair early users with late items
    logit = learner.view().logits(user, item)
    score = sigmoid(calibration.scale * logit + calibration.offset)
    above = score > calibration.threshold
    return Probe(
        user=user.tolist(),
        item=item.tolist(),
        logit=logit.tolist(),
        score=score.tolist(),
        confidence=np.where(above, score, 1.0 - score).tolist(),
        label=above.astype(int).tolist(),
        tolerance=PARITY_TOLERANCE,
    )


class ExportedModel:
    """A version opened by the trainer, to compare it with another on the same examples."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Map a version's files."""
        self._session = open_session(directory)
        self._users = open_index(directory, "users", manifest.indexes["users"])
        self._items = open_index(directory, "items", manifest.indexes["items"])

    def logits(self, held: Held) -> Floats:
        """Return the version's logits of examples given by key. Shape [N]."""
        feed = {
            "user": rows_of(self._users, held.user_key).astype(np.int64),
            "item": rows_of(self._items, held.item_key).astype(np.int64),
        }
        (logit,) = self._session.run(["logit"], feed)
        return np.asarray(logit, np.float64)


def open_session(directory: Path) -> ort.InferenceSession:
    """Open a version's graph on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(directory / MODEL_FILE, options, providers=["CPUExecutionProvider"])


def _write_model(directory: Path, backbone: Backbone, tables: dict[str, npt.NDArray[np.generic]]) -> None:
    model = onnx.parser.parse_model(_MODEL_TEXT.format(backbone=backbone.serving_graph))
    for name, table in tables.items():
        array = np.ascontiguousarray(table)
        tensor = (
            numpy_helper.from_array(array, name) if array.nbytes <= _SMALL_BYTES else _external(directory, name, array)
        )
        model.graph.initializer.append(tensor)
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())
    onnx.checker.check_model(directory / MODEL_FILE)


def _external(directory: Path, name: str, array: npt.NDArray[np.generic]) -> TensorProto:
    """Write a table as a raw file beside the model, and return the initializer that points to it."""
    array.tofile(directory / f"{name}.bin")
    tensor = TensorProto(name=name, data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    tensor.raw_data = b""
    external_data_helper.set_external_data(tensor, location=f"{name}.bin", offset=0, length=array.nbytes)
    tensor.ClearField("raw_data")
    return tensor


def _parity(directory: Path, probe: Probe) -> float:
    """Return how far onnxruntime is from torch on the probe; infinite where either is not finite."""
    session = open_session(directory)
    feed = {"user": np.array(probe.user, np.int64), "item": np.array(probe.item, np.int64)}
    logit, score = session.run(["logit", "score"], feed)
    if logit.shape != (len(probe.user),):
        raise VersionCorrupt(f"the exported graph answers {logit.shape} for {len(probe.user)} pairs")
    gap = np.maximum(np.abs(logit - np.array(probe.logit)), np.abs(score - np.array(probe.score)))
    return float(gap.max()) if np.isfinite(gap).all() else float("inf")

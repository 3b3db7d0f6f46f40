"""A version on disk: the backbone's fixed graph, its folded tables as raw files, id indexes, annotator, and the proof.

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

from contract.belief import Belief, sigmoid, write_belief
from contract.errors import VersionCorrupt
from contract.histories import merged, open_histories, write_histories
from contract.id_table import UNKNOWN_ROW, Rows, rows_of
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
from contract.side import ITEM_SLOTS, SIDE_SLOTS, SURFACE, SideRows, kind_bounds
from models.backbone import Backbone, Batch
from trainer.folding import fold
from trainer.labels import POSITIVE
from trainer.learner import Learner
from trainer.waiting import Held

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it would otherwise report to its maker
import onnxruntime as ort

Floats = npt.NDArray[np.float64]

PARITY_TOLERANCE = 1e-5
PROBE_ROWS = 256
_UNKNOWN_EVERY = 8
_HISTORY_CHUNK = 8_192
_SMALL_BYTES = 1_024  # smaller initializers stay inside the protobuf

_MODEL_TEXT = """
<ir_version: 9, opset_import: ["": 17], producer_name: "winnow">
backbone (int64[U] user, int64[N] item, int64[N, {slots}] side{history})
    => (float[N] logit, float[N] score, float[N] confidence, int64[N] label, float[N] watch, float[N, 5] parts)
{{
{backbone}
        user_pair = Gather <axis = 0> (user_terms, user)
        item_pair = Gather <axis = 0> (item_terms, item)
        side_pairs = Gather <axis = 0> (side_terms, side)
        side_pair = ReduceSum <keepdims = 0> (side_pairs, axis_1)
        user_explicit, user_watch = Split <axis = 1> (user_pair, halves)
        item_explicit, item_watch = Split <axis = 1> (item_pair, halves)
        side_explicit, side_watch = Split <axis = 1> (side_pair, halves)
        shape = Shape (match)
        base_part = Expand (base, shape)
        user_part = Expand (user_explicit, shape)
        parts = Concat <axis = 1> (base_part, user_part, item_explicit, match, side_explicit)
        logit = ReduceSum <keepdims = 0> (parts, axis_1)
        watch_pair = Sum (watch_base, user_watch, item_watch, side_watch)
        watch = Squeeze (watch_pair, axis_1)
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
    parity: float  # largest difference between the learner and onnxruntime on the probe rows
    history: int  # positives that the graph reads of a user


def export(learner: Learner, directory: Path) -> Exported:
    """Write model, tables, indexes, annotator and probe of the learner as it is now into an empty directory."""
    rows = learner.rows_in_use()
    folded = fold(learner.counts, learner.readout, learner.backbone, learner.item_side, rows)
    with torch.no_grad():
        serving = learner.backbone.serving_tables(rows.users, rows.items, folded.head)
    tables = {name: tensor.cpu().numpy() for name, tensor in serving.items()}
    tables |= {f"{side}_terms": terms.astype(np.float32) for side, terms in (
        ("user", folded.users), ("item", folded.items), ("side", folded.sides))}  # fmt: skip
    tables |= {name: np.array([[folded.base[at]]], np.float32) for at, name in enumerate(("base", "watch_base"))}
    tables |= {"axis_1": np.array([1]), "halves": np.array([1, 1])}
    calibration = learner.annotator.calibration
    tables |= {name: np.array([value], np.float32) for name, value in calibration.model_dump().items()}
    history = learner.backbone.serving_history
    _write_model(directory, learner.backbone, tables)
    indexes = {}
    for side, table in (("users", learner.users), ("items", learner.items)):
        write_index(directory, side, table.index)
        indexes[side] = IdIndexShape(slots=len(table.index.keys), known_ids=table.known_ids, rows=table.row_count)
    if history:
        write_histories(directory, histories(learner))
    write_belief(directory, _belief(learner))
    probe = make_probe(learner, calibration)
    (directory / PROBE_FILE).write_text(probe.model_dump_json())
    return Exported(directory, indexes, _parity(directory, probe), history)


def make_probe(learner: Learner, calibration: Calibration) -> Probe:
    """Return rows spread over the tables, unknown ones included, and what the learner itself answers for them.

    The answers come by the way that training takes, with every side feature, not by the folded tables; an unknown item
    has the features of a known one.
    """
    rows = learner.rows_in_use()
    user, item = (np.linspace(0, count - 1, PROBE_ROWS).astype(np.int64) for count in (rows.users, rows.items))
    item = item[::-1].copy()  # pair early users with late items
    item[::_UNKNOWN_EVERY] = 0
    first, end = kind_bounds(rows.sides)["surface"]
    own = learner.item_side[np.where(item == 0, (np.arange(PROBE_ROWS) * 7) % rows.items, item)].copy()
    own[:, SURFACE] = np.linspace(first, end - 1, PROBE_ROWS)
    asked = own.copy()
    asked[item != 0, ITEM_SLOTS] = 0  # what the service passes for a known item
    predicted = learner.predict_rows(user, item, own)
    score = sigmoid(calibration.scale * predicted.logit + calibration.offset)
    above = score > calibration.threshold
    return Probe(
        user=user.tolist(),
        item=item.tolist(),
        side=asked.tolist(),
        history=noted_histories(learner, user).tolist() if learner.backbone.serving_history else [],
        logit=predicted.logit.tolist(),
        score=score.tolist(),
        confidence=np.where(above, score, 1.0 - score).tolist(),
        label=above.astype(int).tolist(),
        watch=predicted.watch_counts.tolist(),
        tolerance=PARITY_TOLERANCE,
    )


def histories(learner: Learner) -> npt.NDArray[np.int32]:
    """Return each user's latest positives, those included that the backbone has not learned yet. Shape [U, L]."""
    found = noted_histories(learner, np.arange(learner.users.row_count))
    waiting = learner.queue.everything()
    waiting = waiting.take(waiting.label == POSITIVE)
    user, item = learner.users.rows(waiting.user_key), learner.items.rows(waiting.item_key)
    for row in np.unique(user[user != 0]):
        found[row] = merged(found[row], item[user == row])
    return found


def noted_histories(learner: Learner, user: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Return the histories that the backbone reads now of user rows. Shape [N] -> [N, L]."""
    parts = []
    for start in range(0, len(user), _HISTORY_CHUNK):
        rows = torch.from_numpy(user[start : start + _HISTORY_CHUNK]).to(learner.device)
        context = learner.backbone.expand(Batch(rows, torch.zeros_like(rows), torch.zeros_like(rows)[:, None])).context
        parts.append(context["history"].cpu().numpy().astype(np.int32))
    return np.concatenate(parts)


def _belief(learner: Learner) -> Belief:
    tables = learner.evidence.tables()
    return Belief(
        coefficients=learner.annotator.coefficients.tolist(),
        histogram=tables.histogram.tolist(),
        cell_llr=tables.cell_llr.tolist(),
        surface_llr=tables.surface_llr.tolist(),
    )


class ExportedModel:
    """A version opened by the trainer, to compare it with another on the same examples."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Map a version's files."""
        self._session = open_session(directory)
        shapes = manifest.indexes
        self._histories = (
            open_histories(directory, manifest.history, shapes["users"].rows, shapes["items"].rows)
            if manifest.history
            else None
        )
        self._users = open_index(directory, "users", manifest.indexes["users"])
        self._items = open_index(directory, "items", manifest.indexes["items"])

    def logits(self, held: Held) -> Floats:
        """Return the version's logits of examples given by key. Shape [N]."""
        user, item = rows_of(self._users, held.user_key), rows_of(self._items, held.item_key)
        side = held.side.copy()
        side[item != UNKNOWN_ROW, ITEM_SLOTS] = 0
        if self._histories is None:
            return self._run(user, item, side, None)
        found = np.zeros(len(user))
        for row in np.unique(user):
            own = user == row
            found[own] = self._run(user[own][:1], item[own], side[own], self._histories[row : row + 1])
        return found

    def _run(self, user: Rows, item: Rows, side: SideRows, history: Rows | None) -> Floats:
        feed = {"user": user, "item": item, "side": side} | ({} if history is None else {"history": history})
        (logit,) = self._session.run(["logit"], {name: rows.astype(np.int64) for name, rows in feed.items()})
        return np.asarray(logit, np.float64)


def open_session(directory: Path) -> ort.InferenceSession:
    """Open a version's graph on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(directory / MODEL_FILE, options, providers=["CPUExecutionProvider"])


def _write_model(directory: Path, backbone: Backbone, tables: dict[str, npt.NDArray[np.generic]]) -> None:
    model = onnx.parser.parse_model(_model_text(backbone))
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


def _model_text(backbone: Backbone) -> str:
    history = f", int64[1, {backbone.serving_history}] history" if backbone.serving_history else ""
    return _MODEL_TEXT.format(backbone=backbone.serving_graph, slots=SIDE_SLOTS, history=history)


def _parity(directory: Path, probe: Probe) -> float:
    """Return how far onnxruntime is from the learner on the probe; infinite where either is not finite."""
    session = open_session(directory)
    columns = {name: np.array(getattr(probe, name), np.int64) for name in ("user", "item", "side")}
    if probe.history:  # one history a run
        feeds = [
            {**{name: rows[place : place + 1] for name, rows in columns.items()}, "history": np.array([one], np.int64)}
            for place, one in enumerate(probe.history)
        ]
    else:
        feeds = [columns]
    answers = [session.run(["logit", "score", "watch"], feed) for feed in feeds]
    gap = np.zeros(len(probe.user))
    for name, parts in zip(("logit", "score", "watch"), zip(*answers, strict=True), strict=True):
        found = np.concatenate(parts)
        if found.shape != gap.shape:
            raise VersionCorrupt(f"the exported graph answers {name} {found.shape} for {len(gap)} pairs")
        gap = np.maximum(gap, np.abs(found - np.array(getattr(probe, name))))
    return float(gap.max()) if np.isfinite(gap).all() else float("inf")

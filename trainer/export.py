"""A version on disk: the backbone's graph, its folded tables as raw files, id indexes, annotator, and the proof.

The graph is written as ONNX text, not traced: it is a dozen lines, the same for every version, and only numbers change.
A version is whole, or a delta on a whole one: the rows that changed since (see contract.space), with scalars, weights
and annotator of its own. What was written is opened again as the service would, and must answer probe rows as torch
does.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from contract.belief import Belief, sigmoid, write_belief
from contract.hash_index import HashIndex
from contract.histories import merged, write_histories
from contract.id_table import IdTable
from contract.manifest import MODEL_FILE, PROBE_FILE, Calibration, Probe
from contract.side import ITEM_SLOTS, SURFACE, kind_bounds
from contract.space import SPACES, Space, SpaceShape, Table, write_space
from contract.tables import Base, Layout, Spaces, Tables
from models.backbone import Backbone, Batch, Parameters, RowWise
from trainer.folding import Folding
from trainer.labels import POSITIVE
from trainer.learner import Learner

Floats = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.int64]

PARITY_TOLERANCE = 1e-5
PROBE_ROWS = 256
_UNKNOWN_EVERY = 8
_HISTORY_CHUNK = 8_192
_SPARSE = 8  # an index with more slots than this for each id is written anew, as small as it can be

_MODEL_TEXT = """
<ir_version: 9, opset_import: ["": 17], producer_name: "winnow">
backbone ({inputs}) => (float[N] logit, float[N] score, float[N] confidence, bool[N] label)
{{
{backbone}
        logit = Add (match, plain)
        scaled = Mul (logit, scale)
        shifted = Add (scaled, offset)
        score = Sigmoid (shifted)
        label = Greater (score, threshold)
        one = Constant <value_float = 1.0> ()
        against = Sub (one, score)
        confidence = Where (label, score, against)
}}
"""


@dataclass(frozen=True)
class Whole:
    """The last whole version, as a delta needs to know it."""

    base: Base
    tables: Tables

    def rows(self, space: str) -> int:
        """Return how many rows it has of a space."""
        found: Space = getattr(self.tables, space)
        return len(found.terms)


@dataclass(frozen=True)
class Exported:
    """A version that was written but has no manifest yet."""

    directory: Path
    layout: Layout
    calibration: Calibration
    probe: Probe


@dataclass(frozen=True)
class _Own:
    """The rows that a version carries of a space, by the learner's numbers, and how they are found."""

    rows: RowNumbers  # [K]; row 0 first
    index: HashIndex | None
    changed: npt.NDArray[np.int32] | None  # [C, 2] in a delta: row of the base, place in `rows`
    first: int  # the number that contract.space gives rows[0]


def export(learner: Learner, directory: Path, whole: Whole | None = None) -> Exported:
    """Write the learner as it is now into an empty directory: whole, or as what changed since a `whole` version.

    A delta is only for a backbone that is `row_wise`.
    """
    folding = Folding(learner.counts, learner.readout, learner.backbone, learner.item_side)
    own = _changed(learner, whole) if whole else _everything(learner)
    vectors = _vectors(learner, folding, own, whole)
    shapes: dict[str, SpaceShape] = {}
    for space in SPACES:
        part = own[space]
        terms = folding.terms(space, part.rows)
        shapes[space] = write_space(directory, space, terms, vectors.get(space), part.index, part.changed)
    history = learner.backbone.serving_history
    if history:
        write_histories(directory, histories(learner))
    calibration = learner.annotator.calibration
    with torch.no_grad():
        _write_model(directory, learner.backbone, learner.backbone.served_weights(folding.head), calibration)
    write_belief(directory, _belief(learner))
    probe = _make_probe(learner, calibration, own)
    (directory / PROBE_FILE).write_text(probe.model_dump_json())
    return Exported(
        directory=directory,
        layout=Layout(
            intercept=folding.intercept,
            spaces=Spaces(**shapes),
            side_rows=learner.settings.side_rows,
            history=history,
            base=whole.base if whole else None,
        ),
        calibration=calibration,
        probe=probe,
    )


def _everything(learner: Learner) -> dict[str, _Own]:
    rows = learner.rows_in_use()
    tables = {"users": learner.users, "items": learner.items}
    return {
        space: _Own(np.arange(rows[space]), _index_of(tables[space]) if space in tables else None, None, 0)
        for space in SPACES
    }


def _index_of(table: IdTable) -> HashIndex:
    """Return the index of the ids that own rows; the table's own, if it is not mostly empty."""
    if len(table.index.keys) <= _SPARSE * max(table.known_ids, 1):
        return table.index
    rows = np.flatnonzero(table.index.values > 0)
    small = HashIndex.for_capacity(len(rows))
    small.add(table.index.keys[rows], table.index.values[rows])
    return small


def _changed(learner: Learner, whole: Whole) -> dict[str, _Own]:
    """Return what a delta carries: row 0, changed rows, and rows of ids that came since."""
    found = {}
    for space, table in (("users", learner.users), ("items", learner.items)):
        before = whole.rows(space)
        kept, fresh = learner.changed.kept(space, before), learner.changed.reowned(space)
        owner = table.keys(fresh)
        lost = np.union1d(fresh, table.free_rows)
        lost = lost[lost < before]  # their ids of then are unknown now, or own another row
        fresh, owner = fresh[owner != 0], owner[owner != 0]
        kept = np.setdiff1d(kept, lost)
        index = HashIndex.for_capacity(len(fresh))
        index.add(owner, np.arange(1 + len(kept), 1 + len(kept) + len(fresh), dtype=np.int32))
        place = np.concatenate([np.arange(1 + len(kept)), np.zeros(len(lost), np.int64)])
        changed = np.stack([np.concatenate([[0], kept, lost]), place], 1).astype(np.int32)
        changed = changed[np.argsort(changed[:, 0])]
        found[space] = _Own(np.concatenate([[0], kept, fresh]), index, changed, before)
    sides = np.concatenate([[0], learner.changed.kept("sides", learner.settings.side_rows)])
    changed = np.stack([sides, np.arange(len(sides))], 1).astype(np.int32)
    found["sides"] = _Own(sides, None, changed, 0)
    return found


def _vectors(learner: Learner, folding: Folding, own: dict[str, _Own], whole: Whole | None) -> dict[str, Table]:
    """Return the vectors of a version's own rows, of spaces that have any."""
    backbone = learner.backbone
    with torch.no_grad():
        if whole is None:
            found = backbone.served_vectors(learner.rows_in_use(), folding.head)
        else:
            assert isinstance(backbone, RowWise)
            found = {
                space: backbone.served_rows(space, torch.from_numpy(own[space].rows).to(learner.device), folding.head)
                for space in backbone.served_spaces
            }
        return {space: vectors.cpu().numpy() for space, vectors in found.items()}


def _make_probe(learner: Learner, calibration: Calibration, own: dict[str, _Own]) -> Probe:
    """Return own rows of the version, unknown ones included, and what the learner itself answers for them.

    The answers come by the way that training takes, with every side feature, not by the folded tables. Side features
    are such as the version carries, so that a delta is as exact as a whole version on what it carries.
    """
    user_place, item_place = (
        np.linspace(0, len(own[space].rows) - 1, PROBE_ROWS).astype(np.int64) for space in ("users", "items")
    )
    item_place = item_place[::-1].copy()  # pair early users with late items
    item_place[::_UNKNOWN_EVERY] = 0
    user, item = own["users"].rows[user_place], own["items"].rows[item_place]
    described = own["items"].rows[(np.arange(PROBE_ROWS) * 7) % len(own["items"].rows)]
    side = learner.item_side[np.where(item == 0, described, item)].copy()
    first, end = kind_bounds(learner.settings.side_rows)["surface"]
    surfaces = own["sides"].rows[(own["sides"].rows >= first) & (own["sides"].rows < end)]
    if len(surfaces):
        side[:, SURFACE] = surfaces[np.linspace(0, len(surfaces) - 1, PROBE_ROWS).astype(np.int64)]
    side[item == 0] *= np.isin(side[item == 0], own["sides"].rows)
    asked = side.copy()
    asked[item != 0, ITEM_SLOTS] = 0  # what the service passes for a known item
    predicted = learner.predict_rows(user, item, side)
    score = sigmoid(calibration.scale * predicted.logit + calibration.offset)
    above = score > calibration.threshold
    return Probe(
        user=(own["users"].first + user_place).tolist(),
        item=(own["items"].first + item_place).tolist(),
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


def _write_model(directory: Path, backbone: Backbone, weights: Parameters, calibration: Calibration) -> None:
    model = onnx.parser.parse_model(_MODEL_TEXT.format(inputs=_inputs(backbone), backbone=backbone.serving_graph))
    arrays = {name: np.ascontiguousarray(tensor.cpu().numpy()) for name, tensor in weights.items()}
    arrays |= {name: np.array([value], np.float32) for name, value in calibration.model_dump().items()}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    onnx.checker.check_model(model)
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _inputs(backbone: Backbone) -> str:
    inputs = ["float[N, W] item", "float[N] plain"]
    if "users" in backbone.served_spaces:
        inputs.append("float[U, V] user")
    if length := backbone.serving_history:
        inputs += [f"int64[1, {length}] history", f"float[1, {length}, W] past"]
    return ", ".join(inputs)

"""Complete, valid versions for tests, made without the trainer; what they must answer comes from NumPy.

The graph is matrix factorisation with biases: logit = base + user bias + item bias + <user factor, item factor>.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser

from contract.hash_index import HashIndex
from contract.hashing import id_keys
from contract.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    PROBE_FILE,
    Calibration,
    IdIndexShape,
    Manifest,
    Probe,
    TrainedThrough,
    digest_files,
    write_index,
)
from contract.registry import Registry

FACTORS = 4
ACKNOWLEDGED_MS = 1_795_593_600_120  # 2026-11-25T08:00:00.120Z
CALIBRATION = Calibration(scale=0.9, offset=-0.2, threshold=0.3)
USERS = {"u1": 1, "u2": 2}
ITEMS = {"v1": 1, "v2": 2, "v3": 3}
Table = npt.NDArray[np.float32]

_GRAPH = """
<ir_version: 9, opset_import: ["" : 17]>
gmf (int64[M] user, int64[N] item)
    => (float[N] logit, float[N] score, float[N] confidence, int64[N] label, float[N, 4] parts)
<float[1] base = {{{base}}}, float[1] scale = {{{scale}}}, float[1] offset = {{{offset}}},
 float[1] threshold = {{{threshold}}}, float[1] one = {{1}}, int64[1] axis = {{1}}>
{{
    user_factor = Gather <axis = 0> (user_factors, user)
    item_factor = Gather <axis = 0> (item_factors, item)
    product = Mul (user_factor, item_factor)
    match = ReduceSum <keepdims = 0> (product, axis)
    of_user = Gather <axis = 0> (user_bias, user)
    of_item = Gather <axis = 0> (item_bias, item)
    biases = Add (of_user, of_item)
    own = Add (biases, match)
    logit = Add (own, base)
    scaled = Mul (logit, scale)
    calibrated = Add (scaled, offset)
    score = Sigmoid (calibrated)
    is_positive = Greater (score, threshold)
    label = Cast <to = 7> (is_positive)
    rest = Sub (one, score)
    confidence = Where (is_positive, score, rest)
    shape = Shape (item)
    base_n = Expand (base, shape)
    user_n = Expand (of_user, shape)
    base_column = Unsqueeze (base_n, axis)
    user_column = Unsqueeze (user_n, axis)
    item_column = Unsqueeze (of_item, axis)
    match_column = Unsqueeze (match, axis)
    parts = Concat <axis = 1> (base_column, user_column, item_column, match_column)
}}
"""


@dataclass(frozen=True)
class Expected:
    """What a written version must answer, in float64."""

    users: dict[str, int]
    items: dict[str, int]
    tables: dict[str, Table]
    base: float

    def parts(self, user: str, item: str) -> list[float]:
        """Return base, user, item and match of one pair; unknown ids have row 0."""
        return self.parts_of_rows(self.users.get(user, 0), self.items.get(item, 0))

    def parts_of_rows(self, user: int, item: int) -> list[float]:
        """Return the same for rows."""
        user_factor = self.tables["user_factors"][user].astype(np.float64)
        match = float(user_factor @ self.tables["item_factors"][item])
        return [self.base, float(self.tables["user_bias"][user]), float(self.tables["item_bias"][item]), match]

    def score(self, user: str, item: str) -> float:
        """Return the calibrated score of one pair."""
        return calibrated(sum(self.parts(user, item)))


def calibrated(logit: float) -> float:
    """Return the score of a logit."""
    return float(1 / (1 + np.exp(-(CALIBRATION.scale * logit + CALIBRATION.offset))))


def write_version(
    directory: Path,
    *,
    users: dict[str, int] = USERS,
    items: dict[str, int] = ITEMS,
    seed: int = 0,
    acknowledged_ms: int = ACKNOWLEDGED_MS,
    has_parts: bool = True,
) -> Expected:
    """Write a complete version into `directory`; return what it answers. `seed` decides every weight."""
    directory.mkdir(parents=True, exist_ok=True)
    expected = _expected(users, items, seed)
    _write_graph(directory, expected, has_parts)
    indexes = {side: _write_side(directory, side, ids) for side, ids in (("users", users), ("items", items))}
    _write_probe(directory, expected)
    write_manifest(directory, indexes, seed, acknowledged_ms)
    return expected


def write_manifest(directory: Path, indexes: dict[str, IdIndexShape], seed: int, acknowledged_ms: int) -> None:
    """Write the manifest of whatever files `directory` holds now."""
    manifest = Manifest(
        created_ms=acknowledged_ms + 1_000,
        producer="tests",
        backbone="gmf",
        target="negative",
        seed=seed,
        parent=None,
        trained_through=TrainedThrough(
            events=100, acknowledged_ms=acknowledged_ms, event_at_ms=acknowledged_ms, position={"0": "1-0"}
        ),
        prior=0.02,
        calibration=CALIBRATION,
        metrics={"auc": 0.7},
        verdict="PROMOTE",
        reasons=["made for a test"],
        indexes=indexes,
        files=digest_files(directory),
    )
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())


def digest_again(directory: Path) -> None:
    """Make the manifest agree with the files after a test changed one, as a faulty exporter would."""
    old = Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    write_manifest(directory, old.indexes, old.seed, old.trained_through.acknowledged_ms)


def stage_version(
    registry: Registry, *, seed: int = 0, acknowledged_ms: int = ACKNOWLEDGED_MS, has_parts: bool = True
) -> tuple[str, Expected]:
    """Write a version and stage it; return its number and what it answers."""
    staging = registry.new_staging()
    expected = write_version(staging, seed=seed, acknowledged_ms=acknowledged_ms, has_parts=has_parts)
    return registry.stage(staging), expected


def promote_version(registry: Registry, *, seed: int = 0, has_parts: bool = True) -> tuple[str, Expected]:
    """Write a version and make it the champion; return its number and what it answers."""
    version, expected = stage_version(registry, seed=seed, has_parts=has_parts)
    registry.promote(version, "a test")
    return version, expected


def _expected(users: dict[str, int], items: dict[str, int], seed: int) -> Expected:
    random = np.random.default_rng(seed)
    user_rows, item_rows = max(users.values()) + 1, max(items.values()) + 1
    tables = {
        "user_factors": random.normal(0, 0.7, (user_rows, FACTORS)),
        "item_factors": random.normal(0, 0.7, (item_rows, FACTORS)),
        "user_bias": random.normal(0, 0.5, user_rows),
        "item_bias": random.normal(0, 0.5, item_rows),
    }
    return Expected(users, items, {name: table.astype(np.float32) for name, table in tables.items()}, base=-0.5)


def _write_graph(directory: Path, expected: Expected, has_parts: bool) -> None:
    model = onnx.parser.parse_model(_GRAPH.format(base=expected.base, **CALIBRATION.model_dump()))
    for name, table in expected.tables.items():
        (directory / f"{name}.bin").write_bytes(table.astype("<f4").tobytes())
        tensor = model.graph.initializer.add(name=name, data_type=onnx.TensorProto.FLOAT, dims=table.shape)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"{name}.bin")
    if not has_parts:
        del model.graph.output[-1]
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _write_side(directory: Path, side: str, ids: dict[str, int]) -> IdIndexShape:
    index = HashIndex.for_capacity(len(ids))
    index.add(id_keys(list(ids)), np.array(list(ids.values()), np.int32))
    write_index(directory, side, index)
    return IdIndexShape(slots=len(index.keys), known_ids=len(ids), rows=max(ids.values()) + 1)


def _write_probe(directory: Path, expected: Expected) -> None:
    pairs = [(user, item) for user in [0, *expected.users.values()] for item in [0, *expected.items.values()]]
    logit = [sum(expected.parts_of_rows(user, item)) for user, item in pairs]
    score = [calibrated(one) for one in logit]
    label = [int(one > CALIBRATION.threshold) for one in score]
    probe = Probe(
        user=[user for user, _ in pairs],
        item=[item for _, item in pairs],
        logit=logit,
        score=score,
        confidence=[one if positive else 1 - one for one, positive in zip(score, label, strict=True)],
        label=label,
    )
    (directory / PROBE_FILE).write_text(probe.model_dump_json())

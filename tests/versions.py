"""Complete, valid versions for tests, made without the trainer; what they must answer comes from NumPy.

The graph is matrix factorisation with biases and a bag of side features:
logit = base + user bias + item bias + <user factor, item factor> + sum of side biases; watch is a sum of two biases.
With histories, the factors of what the user liked last are added to the user's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser

from contract.belief import Belief, write_belief
from contract.hash_index import HashIndex
from contract.hashing import id_keys
from contract.histories import write_histories
from contract.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    PROBE_FILE,
    Calibration,
    Manifest,
    Probe,
    TrainedThrough,
    digest_files,
    sealed,
)
from contract.registry import Registry
from contract.side import LEAST_SIDE_ROWS, SIDE_SLOTS, side_rows
from contract.space import write_space
from contract.tables import Layout, Spaces
from contract.watch import CELLS, DURATION_BUCKETS, SURFACE_CELLS, WATCH_BINS

FACTORS = 4
SIDE_ROWS = LEAST_SIDE_ROWS
ACKNOWLEDGED_MS = 1_795_593_600_120  # 2026-11-25T08:00:00.120Z
CALIBRATION = Calibration(scale=0.9, offset=-0.2, threshold=0.3)
USERS = {"u1": 1, "u2": 2}
ITEMS = {"v1": 1, "v2": 2, "v3": 3}
NO_SIDE = (0,) * SIDE_SLOTS
Table = npt.NDArray[np.float32]

_GRAPH = """
<ir_version: 9, opset_import: ["" : 17]>
gmf ({inputs}) => (float[N] logit, float[N] score, float[N] confidence, bool[N] label)
<float[1] scale = {{{scale}}}, float[1] offset = {{{offset}}},
 float[1] threshold = {{{threshold}}}, float[1] one = {{1}}, int64[1] axis = {{1}}, int64[1] nothing = {{0}},
 int64[1] minus_one = {{-1}}>
{{
    {user_factor}
    product = Mul (user_factor, item)
    match = ReduceSum <keepdims = 0> (product, axis)
    logit = Add (match, plain)
    scaled = Mul (logit, scale)
    calibrated = Add (scaled, offset)
    score = Sigmoid (calibrated)
    label = Greater (score, threshold)
    rest = Sub (one, score)
    confidence = Where (label, score, rest)
}}
"""
_INPUTS = "float[M, W] user, float[N, W] item, float[N] plain"
_USER_FACTOR = {
    False: "user_factor = Identity (user)",
    True: """
    none = Equal (history, nothing)
    some = Not (none)
    there = Cast <to = 1> (some)
    weight = Unsqueeze (there, minus_one)
    liked = Mul (past, weight)
    of_history = ReduceSum <keepdims = 0> (liked, axis)
    user_factor = Add (user, of_history)""",
}


@dataclass(frozen=True)
class Expected:
    """What a written version must answer, in float64."""

    users: dict[str, int]
    items: dict[str, int]
    tables: dict[str, Table]
    base: float
    histories: npt.NDArray[np.int32] | None  # [rows of users, L]
    belief: Belief

    def parts(self, user: str, item: str, side: Sequence[int] = NO_SIDE, liked: Sequence[str] = ()) -> list[float]:
        """Return base, user, item, match and context of one pair; unknown ids have row 0.

        `liked` replaces the user's history in a version that has histories.
        """
        row = self.users.get(user, 0)
        history = [self.items[one] for one in liked] if liked else self.history_of(row)
        return self.parts_of_rows(row, self.items.get(item, 0), side, history)

    def parts_of_rows(self, user: int, item: int, side: Sequence[int], history: Sequence[int]) -> list[float]:
        """Return the same for rows."""
        user_factor = self.tables["user_factors"][user].astype(np.float64)
        if self.histories is not None:
            user_factor = user_factor + self.tables["item_factors"][[one for one in history if one]].sum(
                0, dtype=np.float64
            )
        match = float(user_factor @ self.tables["item_factors"][item])
        context = float(self.tables["side_bias"][list(side)].sum(dtype=np.float64))
        return [self.base, float(self.tables["user_bias"][user]), float(self.tables["item_bias"][item]), match, context]

    def score(self, user: str, item: str, side: Sequence[int] = NO_SIDE, liked: Sequence[str] = ()) -> float:
        """Return the calibrated score of one pair."""
        return calibrated(sum(self.parts(user, item, side, liked)))

    def watch(self, user: int, item: int) -> float:
        """Return the logit of the watch quantile of one pair of rows."""
        return float(self.tables["user_watches"][user]) + float(self.tables["item_watches"][item])

    def history_of(self, user: int) -> list[int]:
        """Return the history of one row of users; empty in a version without histories."""
        history: list[int] = [] if self.histories is None else self.histories[user].tolist()
        return history


def calibrated(logit: float) -> float:
    """Return the score of a logit."""
    return float(1 / (1 + np.exp(-(CALIBRATION.scale * logit + CALIBRATION.offset))))


def side_of(surface: str = "", author: str = "", tags: str = "", duration_ms: int = 0) -> list[int]:
    """Return the side rows of one exposure; tags joined by U+001F."""
    rows: list[int] = side_rows([surface], [author], [tags], np.array([duration_ms], np.int32), SIDE_ROWS)[0].tolist()
    return rows


def write_version(
    directory: Path,
    *,
    users: dict[str, int] = USERS,
    items: dict[str, int] = ITEMS,
    seed: int = 0,
    acknowledged_ms: int = ACKNOWLEDGED_MS,
    history: int = 0,
) -> Expected:
    """Write a complete version into `directory`; return what it answers. `seed` decides every weight."""
    directory.mkdir(parents=True, exist_ok=True)
    expected = _expected(users, items, seed, history)
    _write_graph(directory, expected)
    write_belief(directory, expected.belief)
    if expected.histories is not None:
        write_histories(directory, expected.histories)
    spaces = _write_spaces(directory, expected)
    _write_probe(directory, expected)
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
        layout=Layout(intercept=(expected.base, 0.0), spaces=spaces, side_rows=SIDE_ROWS, history=history),
        files=digest_files(directory),
    )
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return expected


def digest_again(directory: Path) -> None:
    """Make the manifest agree with the files after a test changed one, as a faulty exporter would."""
    old = Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    again = old.model_copy(update={"files": digest_files(directory)})
    (directory / MANIFEST_FILE).write_text((sealed(again) if old.seal else again).model_dump_json())


def stage_version(registry: Registry, **options: Any) -> tuple[str, Expected]:
    """Write a version, by the options of `write_version`, and stage it; return its number and what it answers."""
    staging = registry.new_staging()
    expected = write_version(staging, **options)
    return registry.stage(staging), expected


def promote_version(registry: Registry, **options: Any) -> tuple[str, Expected]:
    """Write a version and make it the champion; return its number and what it answers."""
    version, expected = stage_version(registry, **options)
    registry.promote(version, "a test")
    return version, expected


def _expected(users: dict[str, int], items: dict[str, int], seed: int, history: int) -> Expected:
    random = np.random.default_rng(seed)
    user_rows, item_rows = max(users.values()) + 1, max(items.values()) + 1
    tables = {
        "user_factors": random.normal(0, 0.7, (user_rows, FACTORS)),
        "item_factors": random.normal(0, 0.7, (item_rows, FACTORS)),
        "user_bias": random.normal(0, 0.5, user_rows),
        "item_bias": random.normal(0, 0.5, item_rows),
        "user_watches": random.normal(0, 0.5, user_rows),
        "item_watches": random.normal(0, 0.5, item_rows),
        "side_bias": random.normal(0, 0.5, SIDE_ROWS),
    }
    tables["side_bias"][0] = 0.0
    belief = Belief(
        coefficients=[0.9, -0.3, 0.8, 0.5, -0.1],
        histogram=random.integers(0, 9, (DURATION_BUCKETS, WATCH_BINS)).astype(np.float64).tolist(),
        cell_llr=random.normal(0, 1, CELLS).tolist(),
        surface_llr=random.normal(0, 1, SURFACE_CELLS).tolist(),
    )
    histories = None
    if history:
        histories = np.zeros((user_rows, history), np.int32)
        histories[1, -1] = 1  # the first user has liked the first item
    floats = {name: table.astype(np.float32) for name, table in tables.items()}
    return Expected(users, items, floats, base=-0.5, histories=histories, belief=belief)


def _write_graph(directory: Path, expected: Expected) -> None:
    reads_history = expected.histories is not None
    length = 0 if expected.histories is None else expected.histories.shape[1]
    text = _GRAPH.format(
        **CALIBRATION.model_dump(),
        inputs=_INPUTS + (f", int64[1, {length}] history, float[1, {length}, W] past" if reads_history else ""),
        user_factor=_USER_FACTOR[reads_history],
    )
    (directory / MODEL_FILE).write_bytes(onnx.parser.parse_model(text).SerializeToString())


def _write_spaces(directory: Path, expected: Expected) -> Spaces:
    tables = expected.tables
    user_terms = np.stack([tables["user_bias"], tables["user_watches"]], 1)
    item_terms = np.stack([tables["item_bias"], tables["item_watches"]], 1)
    side_terms = np.stack([tables["side_bias"], np.zeros_like(tables["side_bias"])], 1)
    return Spaces(
        users=write_space(directory, "users", user_terms, tables["user_factors"], _index_of(expected.users)),
        items=write_space(directory, "items", item_terms, tables["item_factors"], _index_of(expected.items)),
        sides=write_space(directory, "sides", side_terms, None),
    )


def _index_of(ids: dict[str, int]) -> HashIndex:
    index = HashIndex.for_capacity(len(ids))
    index.add(id_keys(list(ids)), np.array(list(ids.values()), np.int32))
    return index


def _write_probe(directory: Path, expected: Expected) -> None:
    rows = list(_probe_rows(expected))
    logit = [sum(expected.parts_of_rows(*row)) for row in rows]
    score = [calibrated(one) for one in logit]
    label = [int(one > CALIBRATION.threshold) for one in score]
    user, item, side, history = (list(column) for column in zip(*rows, strict=True))
    probe = Probe(
        user=user,
        item=item,
        side=side,
        history=[] if expected.histories is None else history,
        logit=logit,
        score=score,
        confidence=[one if positive else 1 - one for one, positive in zip(score, label, strict=True)],
        label=label,
        watch=[expected.watch(one, other) for one, other in zip(user, item, strict=True)],
    )
    (directory / PROBE_FILE).write_text(probe.model_dump_json())


def _probe_rows(expected: Expected) -> Iterator[tuple[int, int, list[int], list[int]]]:
    """Give user, item, side and history of every pair: a surface, and for unknown items all features."""
    for user in [0, *expected.users.values()]:
        for item in [0, *expected.items.values()]:
            side = side_of("feed") if item else side_of("feed", "a7", "39\x1f7", 9_000)
            yield user, item, side, expected.history_of(user)

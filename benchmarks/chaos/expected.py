"""What each version must answer to a fixed set of score requests: worked out here, from its files, without the service.

Tables through the contract, the graph through onnxruntime, pair by pair: the long way, not the one scores go (P6).
"""

from pathlib import Path

import numpy as np
import onnxruntime
import orjson

from contract.hashing import id_keys
from contract.manifest import MODEL_FILE
from contract.registry import Registry
from contract.side import SIDE_SLOTS, SURFACE, surface_row
from contract.tables import Tables, open_tables


def write_expected(registry: Registry, versions: list[str], bodies: list[bytes], path: Path) -> Path:
    """Write {version: [{item_id: score} for each body]} as JSON, and return the path."""
    asked = [orjson.loads(body) for body in bodies]
    found = {}
    for version in versions:
        session = onnxruntime.InferenceSession(
            str(registry.path(version) / MODEL_FILE), providers=["CPUExecutionProvider"]
        )
        tables = _tables(registry, version)
        found[version] = [_scores(session, tables, one["user_id"], one["candidates"], one["surface"]) for one in asked]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(found))
    return path


def _tables(registry: Registry, version: str) -> Tables:
    layout = registry.manifest(version).layout
    base = _tables(registry, layout.base.version) if layout.base else None
    return open_tables(registry.path(version), layout, base)


def _scores(
    session: onnxruntime.InferenceSession, tables: Tables, user_id: str, items: list[str], surface: str
) -> dict[str, float]:
    side = np.zeros((len(items), SIDE_SLOTS), np.int64)
    side[:, SURFACE] = surface_row(surface, len(tables.sides.terms))
    user = np.repeat(tables.users.find(id_keys([user_id])), len(items))
    _, feed = tables.of_pairs(user, tables.items.find(id_keys(items)), side)
    (scores,) = session.run(["score"], feed)
    return dict(zip(items, scores.tolist(), strict=True))

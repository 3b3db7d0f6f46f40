"""What a peer serves: the same graph, tables and ids as a version has, in plain files that need no code of Winnow.

    bundle/model.onnx        as in the version
    bundle/ids.json          {"users": {id: row}, "items": {id: row}}; row 0 is every unknown id
    bundle/item.<input>.npy  what an input of the graph takes of each row of items
    bundle/user.<input>.npy  and of users; an input that has both takes their sum

So an input is gathered, never computed, and a peer has no more to do for a score than Winnow.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.serving.world import SURFACE, Ids, World
from contract.errors import SetupError
from contract.hashing import id_keys
from contract.manifest import MODEL_FILE, read_manifest
from contract.side import surface_row
from contract.space import EXPLICIT, Space
from contract.tables import open_tables

Table = npt.NDArray[Any]


def write_bundle(version: Path, world: World, directory: Path) -> None:
    """Write the bundle of a whole version without histories; every request is of `SURFACE`."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shutil.copyfile(version / MODEL_FILE, directory / MODEL_FILE)
    layout = read_manifest(version).layout
    if layout.base is not None or layout.history:
        raise SetupError(f"version {version.name} is a delta or reads histories, which the peers are not taught")
    tables = open_tables(version, layout, None)
    surface = np.array([surface_row(SURFACE, layout.side_rows)])
    told = float(tables.intercept[0, EXPLICIT] + tables.sides.take(surface)[0][0, EXPLICIT])
    inputs = {
        "item.item": tables.items.vectors,
        "item.plain": tables.items.terms[:, EXPLICIT] + np.float32(told),
        "user.plain": tables.users.terms[:, EXPLICIT],
        "user.user": tables.users.vectors,
    }
    _write(directory, inputs, {"users": _rows(tables.users, world.users), "items": _rows(tables.items, world.items)})


def _rows(space: Space, ids: Ids) -> dict[str, int]:
    return dict(zip(ids.tolist(), space.find(id_keys(ids.tolist())).tolist(), strict=True))


def _write(directory: Path, inputs: Mapping[str, Table | None], ids: dict[str, dict[str, int]]) -> None:
    for name, table in inputs.items():
        if table is not None:
            np.save(directory / f"{name}.npy", table)
    (directory / "ids.json").write_bytes(orjson.dumps(ids))

"""From the files of a version to a servable, or to the reason why not (P4).

`open_version` refuses a version whose files differ from its manifest, whose tables hold a number that is not finite, or
whose graph does not give the probe's answers when it is asked the way requests ask it.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.belief import BELIEF_FILE, read_belief
from contract.errors import VersionCorrupt
from contract.histories import HISTORY_FILE, open_histories
from contract.manifest import (
    MODEL_FILE,
    PARTS,
    PROBE_FILE,
    SIDES,
    Manifest,
    Probe,
    open_index,
    read_manifest,
    verify_files,
)
from contract.side import SIDE_SLOTS
from service.graph import OUTPUTS, PARTS_OUTPUT, Graph
from service.servable import LoadedVersion

_FINITE_CHECK_VALUES = 1 << 20  # table values looked at in one go: 4 MB
_WHOLE_NUMBERS = {HISTORY_FILE, *(f"{side}.{part}.bin" for side in SIDES for part in ("keys", "rows"))}


def open_version(directory: Path) -> LoadedVersion:
    """Load and prove the version in `directory`. Blocks: call it in a worker thread. Raises VersionCorrupt."""
    name = directory.name
    manifest = read_manifest(directory)
    verify_files(directory, manifest)
    required = {MODEL_FILE, BELIEF_FILE, PROBE_FILE, *([HISTORY_FILE] if manifest.history else [])}
    if missing := required - manifest.files.keys():
        raise VersionCorrupt(f"version {name}: a version needs {min(missing)}, which is not in the manifest")
    try:
        return _open(directory, manifest)
    except VersionCorrupt as error:
        raise VersionCorrupt(f"version {name}: {error}") from error
    except OSError:
        raise
    except Exception as error:  # whatever onnxruntime or NumPy dislike about the files, the old version serves on
        raise VersionCorrupt(f"version {name}: it does not load ({type(error).__name__}: {error})") from error


def _open(directory: Path, manifest: Manifest) -> LoadedVersion:
    _check_tables_are_finite(directory, manifest)
    users, items = (open_index(directory, side, manifest.indexes[side]) for side in SIDES)
    user_rows, item_rows = (manifest.indexes[side].rows for side in SIDES)
    histories = open_histories(directory, manifest.history, user_rows, item_rows) if manifest.history else None
    belief = read_belief(directory)
    graph = Graph(directory / MODEL_FILE, reads_history=manifest.history > 0)
    _ask_for_last_rows(graph, manifest)
    _replay(graph, Probe.model_validate_json((directory / PROBE_FILE).read_bytes()), manifest.history)
    through_ms = manifest.trained_through.acknowledged_ms
    datetime.fromtimestamp(through_ms / 1000, UTC)  # every answer will show it
    return LoadedVersion(
        version=directory.name,
        trained_through_ms=through_ms,
        _graph=graph,
        _users=users,
        _items=items,
        _side_rows=manifest.side_rows,
        _histories=histories,
        _calibration=manifest.calibration,
        _coefficients=np.array(belief.coefficients),
        _watches=belief.tables(),
    )


def _check_tables_are_finite(directory: Path, manifest: Manifest) -> None:
    for name in manifest.files.keys() - _WHOLE_NUMBERS:
        if name.endswith(".bin") and (directory / name).stat().st_size:
            table = np.memmap(directory / name, dtype="<f4", mode="r")
            for start in range(0, len(table), _FINITE_CHECK_VALUES):
                if not np.isfinite(table[start : start + _FINITE_CHECK_VALUES]).all():
                    raise VersionCorrupt(f"{name} holds a number that is not finite")


def _ask_for_last_rows(graph: Graph, manifest: Manifest) -> None:
    """An index can lead to any row of its tables, a text to any of the side table: the last of each must be there."""
    user, item = (np.array([manifest.indexes[side].rows - 1]) for side in SIDES)
    side = np.full((1, SIDE_SLOTS), manifest.side_rows - 1)
    graph.run(OUTPUTS, user, item, side, np.full((1, manifest.history), item) if manifest.history else None)


def _replay(graph: Graph, probe: Probe, history: int) -> None:
    """Ask for every probe row, and compare: user by user as scores do, and all at once as labels do."""
    users, items = np.array(probe.user), np.array(probe.item)
    count = len(users)
    if not count:
        raise VersionCorrupt("the probe is empty, so nothing proves the version")
    sides = _table(probe.side, (count, SIDE_SLOTS), "side")
    histories = _table(probe.history, (count, history), "history") if history else None
    asked = users[:, None] if histories is None else np.column_stack([users, histories])
    for same in np.unique(asked, axis=0):  # a user's rows share one history
        chosen = (asked == same).all(1)
        read = None if histories is None else same[None, 1:]
        _compare(graph, probe, chosen, same[:1], items[chosen], sides[chosen], read)
    if histories is None:
        _compare(graph, probe, np.ones(count, np.bool_), users, items, sides, None)


def _table(rows: list[list[int]], shape: tuple[int, int], what: str) -> npt.NDArray[np.int64]:
    table = np.array(rows, np.int64)
    if table.shape != shape:
        raise VersionCorrupt(f"the probe's {what} has shape {table.shape}, it should have {shape}")
    return table


def _compare(
    graph: Graph,
    probe: Probe,
    chosen: npt.NDArray[np.bool_],
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    side: npt.NDArray[np.int64],
    history: npt.NDArray[np.int64] | None,
) -> None:
    for output, answer in zip(OUTPUTS, graph.run(OUTPUTS, user, item, side, history), strict=True):
        expected = np.array(getattr(probe, output))[chosen]
        _check_shape(output, answer, expected.shape)
        if not (worst := float(np.abs(answer - expected).max())) <= probe.tolerance:
            raise VersionCorrupt(f"{output} is {worst:.3g} away from the probe, the bound is {probe.tolerance:g}")
    if graph.explains:
        [parts] = graph.run([PARTS_OUTPUT], user, item, side, history)
        _check_shape(PARTS_OUTPUT, parts, (len(item), PARTS))


def _check_shape(output: str, answer: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if answer.shape != shape or not np.isfinite(answer).all():
        raise VersionCorrupt(f"{output} has shape {answer.shape} where {shape} is due, or is not finite")

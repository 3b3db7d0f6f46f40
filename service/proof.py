"""From the files of a version to a servable, or to the reason why not (P4).

`open_version` refuses a version whose files differ from its manifest, whose tables hold a number that is not finite or
beyond reason, whose graph's file holds more than a graph, or whose graph does not give the probe's answers when it is
asked the way requests ask it. Answers must also agree with each other and with the manifest's calibration, so a probe
that was made by the fault itself does not hide it. Of a delta only its own files are read where what it stands on is in
use already.

What a probe of some rows cannot show is a wrong number in a row that it does not ask for: that rests on the digests,
and so on who may write the registry (docs/decisions/0014).
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contract.belief import read_belief, sigmoid
from contract.durable import sha256_of
from contract.errors import VersionCorrupt
from contract.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    PROBE_FILE,
    Calibration,
    Manifest,
    Probe,
    read_manifest,
    verify_files,
)
from contract.side import ITEM_SLOTS, SIDE_SLOTS, SURFACE
from contract.space import SPACES, check_finite
from contract.tables import Base, Feed, Tables, Terms, open_tables, watch_logit
from service.graph import Graph
from service.servable import LoadedVersion, Whole
from service.sizes import check_sizes

MAX_LOGIT = 100.0  # a probability of 1 - 1e-43
_MOVED_TOLERANCE = 1e-3  # float32 beside logits of up to MAX_LOGIT
_ROUNDING = 1e-4
_ALIKE_ROWS = 8  # of so many rows with one answer for all, it is no model that answers
_ONE_USER_RUNS = 4  # users of the probe who are asked for alone, as scores are; each holds up the event loop a little


def open_version(directory: Path, held: Whole | None = None) -> LoadedVersion:
    """Load and prove the version in `directory`. Blocks: call it in a worker thread. Raises VersionCorrupt.

    The base of a delta lies beside it; it is not opened again if it is what is `held` already.
    """
    name = directory.name
    manifest = _read(directory)
    try:
        base = manifest.layout.base
        return _open(directory, manifest, _base(directory.parent, base, held) if base else None)
    except VersionCorrupt as error:
        raise VersionCorrupt(f"version {name}: {error}") from error
    except OSError:
        raise
    except Exception as error:  # whatever onnxruntime or NumPy dislike about the files, the old version serves on
        raise VersionCorrupt(f"version {name}: it does not load ({type(error).__name__}: {error})") from error


def whole_of(directory: Path, tables: Tables) -> Whole:
    """Return what a delta needs to know of the whole version in `directory`."""
    return Whole(sha256_of(directory / MANIFEST_FILE), tables)


def loaded(directory: Path, manifest: Manifest, whole: Whole, tables: Tables, graph: Graph) -> LoadedVersion:
    """Return the servable made of what is open. Raises OSError or ValueError if belief.json cannot be read."""
    belief = read_belief(directory)
    return LoadedVersion(
        version=directory.name,
        trained_through_ms=manifest.trained_through.acknowledged_ms,
        whole=whole,
        _tables=tables,
        _graph=graph,
        _calibration=manifest.calibration,
        _coefficients=np.array(belief.coefficients),
        _watches=belief.tables(),
    )


def _read(directory: Path) -> Manifest:
    """Return the manifest, once every file is what it says and none is missing."""
    manifest = read_manifest(directory)
    try:
        check_sizes(manifest)
    except VersionCorrupt as error:
        raise VersionCorrupt(f"version {directory.name}: {error}") from error
    verify_files(directory, manifest)
    return manifest


def _base(versions: Path, base: Base, held: Whole | None) -> Whole:
    if held is not None and held.manifest_sha256 == base.manifest_sha256:
        return held
    directory = versions / base.version
    if read_manifest(directory).layout.base is not None:
        raise VersionCorrupt(
            f"it stands on version {base.version}, which is a delta itself; deltas stand on whole ones"
        )
    found = _whole(directory, _read(directory))
    if found.manifest_sha256 != base.manifest_sha256:
        raise VersionCorrupt(f"it stands on another version {base.version} than the one in the registry")
    return found


def _whole(directory: Path, manifest: Manifest) -> Whole:
    return whole_of(directory, _open_tables(directory, manifest, None))


def _open_tables(directory: Path, manifest: Manifest, base: Tables | None) -> Tables:
    tables = open_tables(directory, manifest.layout, base)
    if tables.users.index is None or tables.items.index is None:
        raise VersionCorrupt("users and items need an id index")
    for space in SPACES:
        check_finite(getattr(tables, space), space)
    return tables


def _open(directory: Path, manifest: Manifest, base: Whole | None) -> LoadedVersion:
    whole = base or _whole(directory, manifest)
    tables = _open_tables(directory, manifest, base.tables) if base else whole.tables
    graph = Graph(directory / MODEL_FILE, tables)
    probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
    _replay(graph, tables, probe)
    check_consistent(probe, manifest.calibration)
    datetime.fromtimestamp(manifest.trained_through.acknowledged_ms / 1000, UTC)  # every answer will show it
    return loaded(directory, manifest, whole, tables, graph)


def _replay(graph: Graph, tables: Tables, probe: Probe) -> None:
    """Ask for every probe row, and compare: users one by one as scores do, and all at once as labels do."""
    user, item = np.array(probe.user), np.array(probe.item)
    count = len(user)
    if not count:
        raise VersionCorrupt("the probe is empty, so nothing proves the version")
    for name, rows, space in (("user", user, tables.users), ("item", item, tables.items)):
        own = 0 if space.change is None else len(space.change.terms)
        if rows.shape != (count,) or rows.min() < 0 or rows.max() >= len(space.terms) + own:
            raise VersionCorrupt(f"the probe's {name} has rows that the version has not")
    side = _table(probe.side, (count, SIDE_SLOTS), "side", len(tables.sides.terms))
    if tables.histories is None:
        _compare(graph, probe, np.arange(count), *tables.of_pairs(user, item, side))
        for row in np.unique(user)[:_ONE_USER_RUNS]:
            chosen = np.flatnonzero(user == row)
            _compare(graph, probe, chosen, *tables.of_pairs(user[chosen[:1]], item[chosen], side[chosen]))
            for surface in np.unique(side[chosen, SURFACE]):
                alike = chosen[(side[chosen, SURFACE] == surface) & ~side[chosen, ITEM_SLOTS].any(1)]
                if alike.size:
                    _compare(graph, probe, alike, *tables.of_one_user(int(row), item[alike], int(surface)))
        return
    history = _table(probe.history, (count, tables.histories.shape[1]), "history", len(tables.items.terms))
    for same in np.unique(np.column_stack([user, history]), axis=0):  # a user's rows share one history
        chosen = np.flatnonzero((user == same[0]) & (history == same[1:]).all(1))
        _compare(graph, probe, chosen, *tables.of_pairs(same[:1], item[chosen], side[chosen], same[None, 1:]))


def _table(rows: list[list[int]], shape: tuple[int, int], what: str, bound: int) -> npt.NDArray[np.int64]:
    table = np.array(rows, np.int64)
    if table.shape != shape:
        raise VersionCorrupt(f"the probe's {what} has shape {table.shape}, it should have {shape}")
    if table.min() < 0 or table.max() >= bound:
        raise VersionCorrupt(f"the probe's {what} has rows past {bound - 1}, or below 0")
    return table


def _compare(graph: Graph, probe: Probe, chosen: npt.NDArray[np.int64], terms: Terms, feed: Feed) -> None:
    answers = graph.run(feed)._asdict() | {"watch": watch_logit(terms)}
    moved = graph.run(feed | {"plain": feed["plain"] + np.float32(1)}).logit - answers["logit"]
    if not (np.abs(moved - 1) <= _MOVED_TOLERANCE).all():
        raise VersionCorrupt("logit is not the match and the plain terms: one more of these does not add one to it")
    for output, answer in answers.items():
        expected = np.array(getattr(probe, output))[chosen]
        if answer.shape != expected.shape or not np.isfinite(answer).all():
            raise VersionCorrupt(f"{output} has shape {answer.shape} where {expected.shape} is due, or is not finite")
        if not (worst := float(np.abs(answer - expected).max())) <= probe.tolerance:
            raise VersionCorrupt(f"{output} is {worst:.3g} away from the probe, the bound is {probe.tolerance:g}")


def check_consistent(probe: Probe, calibration: Calibration) -> None:
    """Raise VersionCorrupt if the probe's answers, which the graph has given by now, cannot be a model's.

    score = sigmoid(scale * logit + offset), label = score > threshold, confidence = score or 1 - score by the label;
    and logits that differ from row to row, within reason.
    """
    logit, score = np.array(probe.logit), np.array(probe.score)
    if calibration.scale <= 0 or not 0 <= calibration.threshold <= 1:
        raise VersionCorrupt(f"calibration: scale {calibration.scale:g}, which should be over 0, and threshold "
                             f"{calibration.threshold:g}, which should be of 0 to 1")  # fmt: skip
    if (most := float(np.abs(logit).max())) > MAX_LOGIT:
        raise VersionCorrupt(f"a logit of the probe is {most:.3g}, the bound is {MAX_LOGIT:g}")
    if len(logit) >= _ALIKE_ROWS and np.ptp(logit) == 0:
        raise VersionCorrupt(
            f"all {len(logit)} rows of the probe have one logit, {logit[0]:.3g}: it tells nothing apart"
        )
    due = {"score": sigmoid(calibration.scale * logit + calibration.offset)}
    near = np.abs(due["score"] - calibration.threshold) <= _ROUNDING  # there the label may fall either way
    label = np.array(probe.label) != 0
    due["confidence"] = np.where(label, score, 1 - score)
    for output, expected in due.items():
        if not (worst := float(np.abs(np.array(getattr(probe, output)) - expected).max())) <= _ROUNDING:
            raise VersionCorrupt(f"{output} is {worst:.3g} away from what logit and calibration make it")
    if (wrong := ~near & (label != (due["score"] > calibration.threshold))).any():
        raise VersionCorrupt(f"label of {int(wrong.sum())} rows is not whether the score exceeds the threshold")

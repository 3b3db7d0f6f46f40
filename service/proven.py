"""A version that another process has proven: what that process saw of its files, and opening it at once (P4, P6).

Proof reads every byte of a version, which takes the processor and the cache from requests, so it is done elsewhere
(`service.prover`). Then this process only maps the files, if they are still the ones that were proven: versions are
immutable, and a file that was written to or replaced since has another identity.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from contract.errors import ProofUnfinished
from contract.manifest import MODEL_FILE, Manifest, read_manifest
from contract.space import SPACES
from contract.tables import Tables, open_tables
from service.graph import Graph
from service.proof import loaded, open_version, whole_of
from service.servable import LoadedVersion, Whole

_TOUCH_EVERY = (64 << 10) // 4  # numbers: a page fault maps so many bytes at once where they are in the page cache


class FileIdentity(NamedTuple):
    """One file as it is now. Whoever writes to it changes the times; the last one cannot be set by hand."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


Seen = dict[str, FileIdentity]  # by file name


@dataclass(frozen=True)
class Proven:
    """The files of a version, and of the whole one it stands on (the same, if it is whole), as they were proven."""

    own: Seen
    whole: Seen


@dataclass(frozen=True)
class Held:
    """The whole version that was proven last: a delta on it needs only its own proof."""

    directory: Path
    seen: Seen
    whole: Whole


def prove(directory: Path, held: Held | None) -> tuple[Proven, Held]:
    """Prove a version as `open_version` does, and say which files were proven. Raises what that raises."""
    base = read_manifest(directory).layout.base
    stands_on = directory.parent / base.version if base else directory
    own, whole = look(directory), look(stands_on)  # before any of it is read
    is_held = held is not None and (held.directory, held.seen) == (stands_on, whole)
    opened = open_version(directory, held.whole if held and is_held else None)
    return Proven(own, whole), Held(stands_on, whole, opened.whole)


def open_proven(directory: Path, proven: Proven, held: Whole | None) -> LoadedVersion:
    """Open a version that was proven. Raises ProofUnfinished if its files are not the ones that were, any more.

    The base of a delta is not opened again if it is what is `held` already.
    """
    try:
        opened = _open(directory, proven, held)
        changed = look(directory) != proven.own
    except OSError:
        raise
    except Exception as error:  # it was sound a moment ago
        raise ProofUnfinished(f"version {directory.name} changed after its proof: {error}") from error
    if changed:
        raise ProofUnfinished(f"the files of version {directory.name} changed after its proof")
    return opened


def look(directory: Path) -> Seen:
    """Return the identity of every file of a version; none if it is not there."""
    try:
        with os.scandir(directory) as entries:
            return {entry.name: _identity(entry.stat(follow_symlinks=False)) for entry in entries}
    except FileNotFoundError:
        return {}


def _open(directory: Path, proven: Proven, held: Whole | None) -> LoadedVersion:
    manifest = read_manifest(directory)
    base = manifest.layout.base
    if base is None:
        tables = _open_tables(directory, manifest, None)
        whole = whole_of(directory, tables)
    else:
        is_held = held is not None and held.manifest_sha256 == base.manifest_sha256
        whole = held if held and is_held else _base(directory.parent / base.version, proven)
        tables = _open_tables(directory, manifest, whole.tables)
    return loaded(directory, manifest, whole, tables, Graph(directory / MODEL_FILE, tables))


def _base(directory: Path, proven: Proven) -> Whole:
    whole = whole_of(directory, _open_tables(directory, read_manifest(directory), None))
    if look(directory) != proven.whole:
        raise ProofUnfinished(f"the files of version {directory.name}, which it stands on, did too")
    return whole


def _open_tables(directory: Path, manifest: Manifest, base: Tables | None) -> Tables:
    """Map the tables, and have every page of the version's own mapped before the first request needs it."""
    tables = open_tables(directory, manifest.layout, base)
    for name in SPACES:
        space = getattr(tables, name)
        own = space.change or space
        for table in (own.terms, own.vectors):
            if table is not None:
                table.reshape(-1)[::_TOUCH_EVERY].max()
    return tables


def _identity(found: os.stat_result) -> FileIdentity:
    return FileIdentity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

"""Which files a version may have and how large each may be, by its manifest: looked at before any is read (P4).

Tables are as large as the layout says, to the byte; the rest is bounded. So a claim of many gigabytes costs nothing:
either the file is not there, or it is refused by its size.
"""

from contract.belief import BELIEF_FILE
from contract.errors import VersionCorrupt
from contract.histories import HISTORY_FILE
from contract.judgement import JUDGEMENT_FILE, MAX_JUDGEMENT_BYTES
from contract.manifest import MODEL_FILE, PROBE_FILE, Manifest
from contract.space import SPACES, TERMS
from service.graph_file import MAX_GRAPH_BYTES

MAX_VERSION_BYTES = 64 << 30  # a hundred million users of width 128
MAX_PROBE_BYTES = 16 << 20
MAX_BELIEF_BYTES = 1 << 20
_FLOAT, _ROW, _KEY = 4, 4, 8


def check_sizes(manifest: Manifest) -> None:
    """Raise VersionCorrupt naming the first file that no version has, that is missing, or is larger than it can be."""
    bounds = {MODEL_FILE: MAX_GRAPH_BYTES, BELIEF_FILE: MAX_BELIEF_BYTES, PROBE_FILE: MAX_PROBE_BYTES}
    bounds |= {JUDGEMENT_FILE: MAX_JUDGEMENT_BYTES} | _tables(manifest)
    required = {MODEL_FILE, BELIEF_FILE, PROBE_FILE, *([HISTORY_FILE] if manifest.layout.history else [])}
    if missing := required - manifest.files.keys():
        raise VersionCorrupt(f"it needs {min(missing)}, which is not in the manifest")
    if strange := manifest.files.keys() - bounds.keys() - {HISTORY_FILE}:
        raise VersionCorrupt(f"it has a file {min(strange)}, which is none of a version's")
    for name, bound in bounds.items():
        found = manifest.files[name].bytes if name in manifest.files else 0
        if found > bound:
            raise VersionCorrupt(f"{name} has {found} bytes, by the manifest it can have {bound} at most")
    if (total := sum(file.bytes for file in manifest.files.values())) > MAX_VERSION_BYTES:
        raise VersionCorrupt(f"the version has {total} bytes, the bound is {MAX_VERSION_BYTES}")


def _tables(manifest: Manifest) -> dict[str, int]:
    layout = manifest.layout
    bounds: dict[str, int] = {}
    for space in SPACES:
        shape = layout.spaces[space]
        bounds |= {
            f"{space}.terms.bin": shape.rows * TERMS * _FLOAT,
            f"{space}.vectors.bin": shape.rows * shape.width * _FLOAT,
            f"{space}.keys.bin": shape.slots * _KEY,
            f"{space}.rows.bin": shape.slots * _ROW,
        }
        if layout.base is not None:
            bounds[f"{space}.changed.bin"] = MAX_VERSION_BYTES  # the rows of the base bound it: see contract.space
    if layout.history:
        bounds[HISTORY_FILE] = layout.spaces.users.rows * layout.history * _ROW
    return bounds

"""What code a result came from: a digest of the sources that a cell runs, and the versions it computes with."""

import hashlib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SOURCES = ("contract/*.py", "models/*.py", "trainer/*.py", "benchmarks/denoising/*.py")
_LIBRARIES = ("numpy", "torch")


def code_version() -> str:
    """Return 12 hexadecimal digits; rendering a page is not part of it, so a reworded page re-runs nothing."""
    digest = hashlib.sha256(" ".join(f"{name}={version(name)}" for name in _LIBRARIES).encode())
    for path in sorted(path for pattern in _SOURCES for path in ROOT.glob(pattern)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]

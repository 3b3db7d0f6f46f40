"""What the figures were measured on."""

import os
from importlib.metadata import version

from benchmarks.denoising.command import machine

_LIBRARIES = ("numpy", "onnxruntime", "orjson", "uvicorn", "uvloop", "httptools", "redis")


def about() -> str:
    """Return the machine and the libraries that matter here, in one sentence."""
    found = machine()
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return f"{found['cpu']}, {os.cpu_count()} cores; Python {found['python']}, {libraries}. Everything on 127.0.0.1."

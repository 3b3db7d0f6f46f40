"""What the live watch noted in a registry: which version it would roll back to, and which it is watching (promise P5).

`healthy.json` is one object; a file that cannot be read notes nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from contract.durable import write_atomically

HEALTHY_FILE = "healthy.json"


@dataclass(frozen=True)
class Noted:
    """Versions that are kept although they are old."""

    healthy: str | None
    candidate: str | None


def read_noted(directory: Path) -> Noted:
    """Return what is noted in the registry at `directory`."""
    try:
        told = json.loads((directory / HEALTHY_FILE).read_bytes())
        healthy, candidate = told["version"], told.get("candidate")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Noted(None, None)
    return Noted(*(one if isinstance(one, str) else None for one in (healthy, candidate)))


def write_noted(directory: Path, noted: Noted) -> None:
    """Note something else. The registry's lock must be held."""
    content = {"version": noted.healthy, "candidate": noted.candidate}
    write_atomically(directory / HEALTHY_FILE, json.dumps(content).encode())

"""When what was acknowledged was first served: the champions' history, joined with how far each had learned."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contract.errors import RegistryError
from contract.pointer import Champion
from contract.registry import Registry

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Served:
    """Changes of the champion that went further than all before them. Columns [N], rising."""

    through_ms: Times
    changed_ms: Times

    def delays_s(self, acknowledged_ms: Times) -> Floats:
        """Return seconds until a champion had learned each event: infinity where none has yet. Shape [N]."""
        if not len(self.through_ms):
            return np.full(len(acknowledged_ms), np.inf)
        place = np.searchsorted(self.through_ms, acknowledged_ms, "right")  # through is the time below which it has all
        found = place < len(self.through_ms)
        at = self.changed_ms[np.minimum(place, len(self.changed_ms) - 1)]
        return np.where(found, np.maximum(at - acknowledged_ms, 0) / 1000, np.inf)


def served_by(registry: Registry, history: list[Champion]) -> Served:
    """Return who served what first. A change that does not say how far its version had learned is looked up."""
    furthest, through_ms, changed_ms = 0, [], []
    for change in history:
        through = change.through_ms or _looked_up(registry, change.version)
        if through > furthest:
            furthest = through
            through_ms.append(through)
            changed_ms.append(change.changed_ms)
    return Served(np.array(through_ms, np.int64), np.array(changed_ms, np.int64))


def _looked_up(registry: Registry, version: str) -> int:
    try:
        return registry.manifest(version).trained_through.acknowledged_ms
    except RegistryError:  # pruned long ago, or damaged
        return 0

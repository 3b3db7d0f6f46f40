"""Versions of the registry as they are served, opened once for all who look: the gate and the live watch.

Opening one reads and verifies every file, so what the trainer has just written is taken as it is, and what is asked for
again is kept. What cannot be opened is never served by the service either, and is told as None (promise P5).
"""

from collections import OrderedDict

from contract.errors import VersionCorrupt, VersionNotFound
from contract.pointer import Champion
from contract.registry import Registry
from contract.tables import Tables, open_tables
from trainer.opened import OpenedVersion

_KEPT = 5  # reference, candidate, champion, and those before it that still score what came under them


class Served:
    """Opens versions, and keeps the latest few."""

    def __init__(self, registry: Registry) -> None:
        """Open versions of `registry`."""
        self.registry = registry
        self._opened: OrderedDict[str, OpenedVersion] = OrderedDict()

    def champion(self) -> tuple[Champion, OpenedVersion] | None:
        """Return the champion of now, opened; None without one, or if its files are not what they should be.

        Raises RegistryError if the pointer cannot be read.
        """
        champion = self.registry.champion()
        opened = self.open(champion.version) if champion else None
        return (champion, opened) if champion and opened else None

    def open(self, version: str) -> OpenedVersion | None:
        """Return a version, opened; None if it is gone or damaged: the service serves on with what it has, as do we."""
        if version in self._opened:
            self._opened.move_to_end(version)
            return self._opened[version]
        try:
            opened = OpenedVersion(self.registry.path(version), self._tables(version))
        except (VersionCorrupt, VersionNotFound):
            return None
        self.keep(version, opened)
        return opened

    def keep(self, version: str, opened: OpenedVersion) -> None:
        """Take over a version that is open already."""
        self._opened[version] = opened
        while len(self._opened) > _KEPT:
            self._opened.popitem(last=False)

    def _tables(self, version: str) -> Tables:
        """Return the tables of a version of the registry, after a look at every file."""
        manifest = self.registry.verify(version)
        base = self._tables(manifest.layout.base.version) if manifest.layout.base else None
        return open_tables(self.registry.path(version), manifest.layout, base)

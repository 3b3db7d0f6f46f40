"""The registry as the console shows it: every version with its gates, and every change of what is served."""

from dataclasses import asdict
from typing import Any

from contract.errors import RegistryError, VersionCorrupt, VersionNotFound
from contract.judgement import read_judgement
from contract.pointer import Champion, read_history
from contract.registry import HISTORY_FILE, Registry

MOST_CHANGES = 200
_Described = dict[str, Any]


class RegistryView:
    """Reads one registry; what never changes is read once."""

    def __init__(self, registry: Registry) -> None:
        """Read nothing yet."""
        self.registry = registry
        self._described: dict[str, _Described] = {}

    def models(self) -> _Described:
        """Return the champion, the versions and the latest changes, newest first."""
        champion = self.registry.champion()
        quarantined = self.registry.quarantined()
        present = sorted({*self.registry.versions(), *quarantined}, key=int, reverse=True)
        self._described = {version: each for version, each in self._described.items() if version in present}
        versions = [self._version(version, _state(version, champion, quarantined)) for version in present]
        changes = read_history(self.registry.directory / HISTORY_FILE, tail=True)[-MOST_CHANGES:]
        return {
            "champion": asdict(champion) if champion else None,
            "versions": [version for version in versions if version is not None],
            "history": [asdict(change) for change in reversed(changes)],
        }

    def version(self, version: str) -> _Described:
        """Return one version. Raises VersionNotFound, VersionCorrupt."""
        found = self._version(version, _state(version, self.registry.champion(), self.registry.quarantined()))
        if found is None:
            self.registry.manifest(version)  # says what is wrong
            raise RegistryError(f"version {version} cannot be read")
        return found

    def _version(self, version: str, state: str) -> _Described | None:
        if version not in self._described:
            try:
                self._described[version] = self._describe(version)
            except (VersionNotFound, VersionCorrupt):  # pruned a moment ago, or unreadable
                return None
        return self._described[version] | {"state": state}

    def _describe(self, version: str) -> _Described:
        directory = self.registry.path(version)
        manifest = self.registry.manifest(version)
        judged = read_judgement(directory)
        return {
            "version": version,
            "created_ms": manifest.created_ms,
            "trained_through_ms": manifest.trained_through.acknowledged_ms,
            "events": manifest.trained_through.events,
            "parent": manifest.parent,
            "base": manifest.layout.base.version if manifest.layout.base else None,
            "bytes": sum(file.bytes for file in manifest.files.values()),
            "verdict": manifest.verdict,
            "reasons": manifest.reasons,
            "metrics": manifest.metrics,
            "backbone": manifest.backbone,
            "target": manifest.target,
            "gates": None if judged is None else [gate.model_dump() for gate in judged.gates],
        }


def _state(version: str, champion: Champion | None, quarantined: list[str]) -> str:
    if version in quarantined:
        return "quarantined"
    return "champion" if champion is not None and champion.version == version else "candidate"

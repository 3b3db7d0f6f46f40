"""What became of versions: published, promoted, held, rejected, rolled back."""

from dataclasses import dataclass

from contract.errors import RegistryError
from contract.manifest import Manifest
from contract.pointer import TRAINER, Champion
from contract.registry import Registry

MOST_SHOWN = 50


@dataclass(frozen=True)
class VersionLine:
    """A version that is still kept, and was made within the time of the report."""

    version: str
    manifest: Manifest
    state: str  # champion, candidate, quarantined


@dataclass(frozen=True)
class Versions:
    """Versions and changes of the champion within the time of the report."""

    champion: Champion | None
    kept: list[VersionLine]  # newest first
    promotions: int
    by_hand: list[Champion]  # changes that no gate made, and rollbacks; newest first
    rollbacks: int  # by the trainer itself

    def verdicts(self) -> dict[str, int]:
        """Return how many of the kept versions had each verdict."""
        counts: dict[str, int] = {}
        for line in self.kept:
            counts[line.manifest.verdict] = counts.get(line.manifest.verdict, 0) + 1
        return dict(sorted(counts.items()))


def versions_of(registry: Registry, history: list[Champion], from_ms: int) -> Versions:
    """Return what became of versions from a time on."""
    try:
        champion = registry.champion()
    except RegistryError:
        champion = None
    changes = [change for change in history if change.changed_ms >= from_ms]
    quarantined = set(registry.quarantined())
    kept = []
    for version in sorted({*registry.versions(), *quarantined}, key=int, reverse=True):
        try:
            manifest = registry.manifest(version)
        except RegistryError:
            continue
        if manifest.created_ms >= from_ms:
            is_champion = champion is not None and champion.version == version
            state = "quarantined" if version in quarantined else "champion" if is_champion else "candidate"
            kept.append(VersionLine(version, manifest, state))
    ordinary = [change for change in changes if change.act == "promote" and change.who == TRAINER]
    return Versions(
        champion,
        kept,
        sum(change.act in ("", "promote", "pin") for change in changes),
        [change for change in reversed(changes) if change not in ordinary],
        sum(change.act == "rollback" and change.who == TRAINER for change in changes),
    )

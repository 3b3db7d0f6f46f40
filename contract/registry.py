"""Versions in a directory: what was exported, what may be served, and which one is.

    registry/
      champion.json       the pointer, replaced atomically; the service watches this file and nothing else
      healthy.json        the version that the trainer would roll back to by itself (contract.noted); never pruned
      history.jsonl       every change of the pointer: who, when, what, why (contract.pointer)
      versions/000001/    immutable
      staging/            being written
      quarantine/000007/  refused, kept for inspection

Writers take a file lock, so two processes cannot promote at once. A version directory is complete from the moment its
name exists: it is staged aside, verified, brought to disk and renamed.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from tempfile import mkdtemp

from contract.durable import sync_directory, sync_file
from contract.errors import ChampionPinned, RegistryError, VersionCorrupt, VersionNotFound
from contract.manifest import Manifest, read_manifest, through_ms_of, verify_files
from contract.noted import Noted, read_noted, write_noted
from contract.pointer import TRAINER, Champion, known_changes, parse_champion, read_history, way_back, write_change

CHAMPION_FILE, HISTORY_FILE = "champion.json", "history.jsonl"


class Registry:
    """The registry under one directory; made on first use."""

    def __init__(self, directory: Path) -> None:
        """Open, or make, the registry in `directory`."""
        self.directory = directory
        self.versions_directory = directory / "versions"
        self.staging_directory = directory / "staging"
        self.quarantine_directory = directory / "quarantine"
        for part in (self.versions_directory, self.staging_directory, self.quarantine_directory):
            part.mkdir(parents=True, exist_ok=True)
        self._bases: dict[str, str | None] = {}  # versions never change

    @property
    def champion_file(self) -> Path:
        """The pointer."""
        return self.directory / CHAMPION_FILE

    @property
    def _history_file(self) -> Path:
        return self.directory / HISTORY_FILE

    def champion(self) -> Champion | None:
        """Return the champion, or None before the first promotion."""
        try:
            content = self.champion_file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return parse_champion(content)
        except (ValueError, TypeError, RecursionError) as error:  # the last for brackets nested without end
            raise RegistryError(f"{self.champion_file} is not a champion file ({error}); promote a version") from error

    def versions(self) -> list[str]:
        """Return the versions that can be promoted, oldest first."""
        return _numbered(self.versions_directory)

    def quarantined(self) -> list[str]:
        """Return the versions that were refused, oldest first."""
        return _numbered(self.quarantine_directory)

    def path(self, version: str) -> Path:
        """Return a version's directory, quarantined or not. Raises VersionNotFound."""
        for parent in (self.versions_directory, self.quarantine_directory):
            if version in {path.name for path in parent.iterdir()}:
                return parent / version
        known = ", ".join(self.versions()[-5:]) or "none yet"
        raise VersionNotFound(f"version {version!r} is not in the registry; the latest are: {known}")

    def manifest(self, version: str) -> Manifest:
        """Return a version's manifest."""
        return read_manifest(self.path(version))

    def verify(self, version: str) -> Manifest:
        """Compare every file of a version with its manifest. Raises VersionCorrupt."""
        directory = self.path(version)
        manifest = read_manifest(directory)
        verify_files(directory, manifest)
        return manifest

    def new_staging(self) -> Path:
        """Return an empty directory in which to write a version."""
        return Path(mkdtemp(dir=self.staging_directory))

    def stage(self, directory: Path, quarantine: bool = False) -> str:
        """Take in a complete version directory made by `new_staging`, and return its number.

        With `quarantine` it is kept for inspection and can never be promoted.
        """
        verify_files(directory, read_manifest(directory))
        for path in directory.iterdir():
            sync_file(path)
        directory.chmod(0o755)
        sync_directory(directory)
        with self._lock():
            version = f"{self._highest() + 1:06d}"
            parent = self.quarantine_directory if quarantine else self.versions_directory
            directory.rename(parent / version)
            sync_directory(parent)
        return version

    def promote(self, version: str, why: str, *, who: str = TRAINER) -> Champion:
        """Make `version` the champion. Raises ChampionPinned while an operator holds another."""
        with self._lock():
            current = self.champion()
            if current and current.pinned:
                raise ChampionPinned(
                    f"version {current.version} is pinned ({current.why}); unpin it to promote {version}"
                )
            return self._point(version, "promote", why, who, current)

    def pin(self, version: str, why: str, *, who: str = TRAINER) -> Champion:
        """Make `version` the champion and keep it until `unpin`."""
        with self._lock():
            return self._point(version, "pin", why, who, self.champion())

    def unpin(self, why: str, *, who: str = TRAINER) -> Champion:
        """Let the next promotion replace the champion again."""
        with self._lock():
            current = self.champion()
            if current is None:
                raise VersionNotFound("there is no champion to unpin")
            version, before = current.version, current.previous
            return self._write(Champion(version, before, False, why, _now_ms(), who, "unpin", version))

    def lift(self, version: str, why: str, *, who: str = TRAINER) -> bool:
        """Unpin the champion if it is still `version`, pinned by `who`; return whether it was. Others' pins stay."""
        with self._lock():
            current = self.champion()
            if current is None or not current.pinned or (current.version, current.who) != (version, who):
                return False
            self._write(Champion(version, current.previous, False, why, _now_ms(), who, "unpin", version))
            return True

    def rollback(
        self,
        why: str,
        *,
        who: str = TRAINER,
        to: str | None = None,
        before_ms: int | None = None,
        over_a_pin: bool = True,
    ) -> Champion:
        """Go back to the champion before this one, and pin it so that the trainer does not undo it.

        A second rollback in a row goes further back. Versions that are gone, in quarantine or damaged are passed over.
        `to` names the version instead, `before_ms` what was champion before that time. Raises VersionNotFound if there
        is none, VersionCorrupt if `to` is damaged, and ChampionPinned if a pin is in the way and may not be replaced.
        """
        with self._lock():
            current = self.champion()
            if current and current.pinned and not over_a_pin:
                raise ChampionPinned(f"version {current.version} is pinned ({current.why}); it stays")
            if to is not None:
                self.verify(to)
                return self._point(to, "rollback", why, who, current)
            way = [] if current is None else way_back(known_changes(self._history_file, current), before_ms)
            for version in way:
                if self._is_whole(version):
                    return self._point(version, "rollback", why, who, current)
            passed = f"; {', '.join(way[:5])} are gone or damaged" if way else ""
            raise VersionNotFound(f"there is no earlier champion to go back to{passed}; promote or pin a version")

    def _is_whole(self, version: str) -> bool:
        try:
            if version not in self.versions():
                return False
            base = self.verify(version).layout.base
            if base is not None:
                self.verify(base.version)
        except (VersionCorrupt, VersionNotFound):
            return False
        return True

    def healthy(self) -> str | None:
        """Return the version that was last found healthy while it was served, if it is still there."""
        version = read_noted(self.directory).healthy
        return version if version in self.versions() else None

    def note_healthy(self, version: str) -> None:
        """Remember a version as healthy: it is kept until another is."""
        with self._lock():
            write_noted(self.directory, Noted(version, None))

    def note_candidate(self, version: str) -> None:
        """Keep a version that is being watched, and may be noted as healthy, until that or another candidate."""
        with self._lock():
            write_noted(self.directory, Noted(self.healthy(), version))

    def quarantine(self, version: str) -> None:
        """Move a version that must not be served out of reach. The champion cannot be."""
        with self._lock():
            champion = self.champion()
            if champion and version in (champion.version, self.base_of(champion.version)):
                raise RegistryError(f"version {version} is the champion, or what it stands on; roll back first")
            self.path(version).rename(self.quarantine_directory / version)
            sync_directory(self.versions_directory)
            sync_directory(self.quarantine_directory)

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest `keep` whole versions, as many deltas, and as many in quarantine; return what went.

        The champion, the one before it, the one it replaced, what the live watch noted, and the newest of all, whose
        number must not come again, always stay, and so does whatever a delta stands on that stays. What goes is moved
        aside first: no name in `versions/` ever stands for half a version.
        """
        with self._lock():
            champion = self.champion()
            held = {f"{self._highest():06d}", *astuple(read_noted(self.directory))}
            held |= {champion.version, champion.previous, champion.replaced} if champion else set()
            present = self.versions()
            deltas = [version for version in present if self.base_of(version)]
            wholes = [version for version in present if version not in deltas]
            aged = {*_all_but_newest(wholes, keep), *_all_but_newest(deltas, keep)} - held
            stood_on = {self.base_of(version) for version in present if version not in aged}
            old = sorted(aged - stood_on, key=int)
            refused = [version for version in _all_but_newest(self.quarantined(), keep) if version not in held]
            for version in reversed(old):  # a delta goes before what it stands on
                self._delete(self.versions_directory / version)
                self._bases.pop(version, None)
            for version in refused:
                self._delete(self.quarantine_directory / version)
            return old + refused

    def base_of(self, version: str) -> str | None:
        """Return the version that a delta stands on; None for a whole one, or one that cannot be read."""
        if version not in self._bases:
            try:
                base = self.manifest(version).layout.base
            except (VersionCorrupt, VersionNotFound):
                return None
            self._bases[version] = base.version if base else None
        return self._bases[version]

    def _delete(self, directory: Path) -> None:
        going = self.new_staging() / directory.name
        directory.rename(going)
        shutil.rmtree(going.parent)

    def clear_staging(self) -> None:
        """Delete what a crashed writer left. Only the trainer that holds its lock may call it."""
        for path in self.staging_directory.iterdir():
            shutil.rmtree(path)

    def history(self) -> list[Champion]:
        """Return every change of the pointer, oldest first. A line that a power loss cut short is passed over."""
        return read_history(self._history_file)

    def _point(self, version: str, act: str, why: str, who: str, current: Champion | None) -> Champion:
        if version not in self.versions():
            self.path(version)  # names what is there, if it is nowhere
            raise RegistryError(f"version {version} is in quarantine and cannot be served")
        previous = None
        if current and act == "rollback":
            changes = [*known_changes(self._history_file, current), Champion(version, None, True, why, 0, who, act)]
            previous = next((one for one in way_back(changes) if one in self.versions()), None)
        elif current:
            previous = current.previous if current.version == version else current.version
        replaced = current.version if current else None
        pinned = act in ("pin", "rollback")
        return self._write(Champion(version, previous, pinned, why, _now_ms(), who, act, replaced))

    def _write(self, change: Champion) -> Champion:
        champion = replace(change, through_ms=through_ms_of(self.versions_directory / change.version))
        write_change(self.champion_file, self._history_file, champion)
        return champion

    def _highest(self) -> int:
        present = self.versions() + self.quarantined() or [champion.version for champion in self.history()]
        return max((int(version) for version in present), default=0)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _numbered(directory: Path) -> list[str]:
    return sorted((path.name for path in directory.iterdir() if path.is_dir() and path.name.isdecimal()), key=int)


def _all_but_newest(versions: list[str], keep: int) -> list[str]:
    return versions[: max(0, len(versions) - keep)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

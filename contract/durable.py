"""Files that are whole or absent: write aside, fsync, rename, fsync the directory."""

import hashlib
import os
import threading
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview, mode: int = 0o666) -> None:
    """Replace `path` by `content`, durably: after a crash it holds the old bytes or the new, never a mix.

    `mode` is that of the new file, less what the process's umask takes away.
    Raises OSError if that failed; then the old bytes stay. A failed fsync is never asked again: the kernel may have
    dropped what it could not write and call the next one a success. Who tries again writes a new file.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)  # a full disk must get its space back
        raise
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Bring a file's content to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Bring a directory's names to disk."""
    sync_file(path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Secrets in files: hexadecimal, one a line, out of the reach of other users. A setting names the file, not the secret.

A secret is 32 to 64 random bytes. Blank lines, and lines that begin with #, are not read. `winnow secrets` writes such
files. What is wrong with one is said by its line and never by its content (P11).
"""

import os
import re
import secrets
import stat
from pathlib import Path

from contract.durable import write_atomically
from contract.errors import SetupError

MOST_SECRETS = 8
NEW_SECRET_BYTES = 32
_SECRET = re.compile(r"(?:[0-9a-fA-F]{2}){32,64}")
_MOST_BYTES = 16_384
_NOT_FOR_OTHERS = 0o027  # nobody else reads it; the group may, as for a secret that Kubernetes mounts


def read_private(path: Path, what: str, remedy: str, most_bytes: int = -1) -> bytes:
    """Return what is in a file that is for its owner, and its group to read; at most `most_bytes`.

    Raises SetupError, naming `what`, if the file cannot be read or is open to others.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(most_bytes)
    except OSError as error:
        raise SetupError(f"{what}: {path} cannot be read ({error.strerror}); {remedy}") from error
    if mode & _NOT_FOR_OTHERS:
        raise SetupError(f"{what}: {path} is open to others (mode {mode:04o}); chmod it to 0600")
    return content


def read_secrets(path: Path, setting: str, most: int = MOST_SECRETS) -> list[bytes]:
    """Return the secrets in a file, in their order: at least one, at most `most`, each 32 to 64 bytes.

    Raises SetupError, naming `setting`, if the file is missing, open to others, or holds anything else.
    """
    content = read_private(path, setting, "make it by `winnow secrets`, or name another", _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise SetupError(f"{setting}: {path} has more than {_MOST_BYTES} bytes; it should hold a few lines")
    found = []
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not _SECRET.fullmatch(text):
            raise SetupError(
                f"{setting}: line {number} of {path} is not 32 to 64 bytes in hexadecimal; make one by `winnow secrets`"
            )
        found.append(bytes.fromhex(text))
    if not 1 <= len(found) <= most:
        raise SetupError(f"{setting}: {path} holds {len(found)} secrets; it should hold 1{f' to {most}' * (most > 1)}")
    if len(set(found)) < len(found):
        raise SetupError(f"{setting}: {path} holds a secret twice; leave one of the two lines out")
    return found


def new_secret() -> bytes:
    """Return a random secret."""
    return secrets.token_bytes(NEW_SECRET_BYTES)


def make_secret_file(path: Path) -> None:
    """Write a new file with one random secret, readable by its owner only. Raises SetupError if it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SetupError(f"{path} exists; it is left as it is, for what it made would be lost with it") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(_lines([new_secret()]))
        file.flush()
        os.fsync(file.fileno())


def replace_secrets(path: Path, found: list[bytes]) -> None:
    """Write other secrets into a file that is there; after a crash it holds the old ones or the new."""
    previous = os.umask(0o077)  # it is never open to others, not even while it is written
    try:
        write_atomically(path, _lines(found))
    finally:
        os.umask(previous)


def _lines(found: list[bytes]) -> bytes:
    return b"".join(secret.hex().encode() + b"\n" for secret in found)

"""Request ids: the caller's if it is short and harmless, else one of ours."""

import random
import re

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_new_bits = random.Random().getrandbits  # seeded by the system; a system call for each id costs three times as much


def new_request_id() -> str:
    """Return a new id, 16 hexadecimal digits."""
    return f"{_new_bits(64):016x}"


def request_id_of(given: bytes | None) -> str:
    """Return the caller's id if it is short and harmless, else a new one."""
    return given.decode() if given and _SAFE_ID.fullmatch(given) else new_request_id()

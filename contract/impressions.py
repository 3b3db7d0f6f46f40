"""Signed impressions: that Winnow itself offered this item to this user, and when, without remembering anything.

An impression id is base64url of 30 bytes, so 40 characters without padding and with no bit to spare:

    format: 1 | time in epoch ms: 6 | version's number, 0 for the prior: 7 | MAC: 16        all big-endian

The MAC is HMAC-SHA256, cut to 128 bits, of these fields and of user and item, each text after its length in two bytes;
so no other user, item, time or version gives the same input. Whoever does not hold a secret cannot make one (P10).

An impression proves one exposure and not one event: a view and a later like may both cite it. How often the events of
one pair of user and item can count is the trainer's cap, see docs/decisions/0016.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from contract.secret_files import read_secrets

TOKEN_CHARACTERS = 40
SETTING = "WINNOW_IMPRESSION_SECRETS_FILE"
_FORMAT = 1
_HEAD_BYTES = 14
_MAC_BYTES = 16
_BYTES = _HEAD_BYTES + _MAC_BYTES
_SKEW_MS = 5_000  # by how much the clock of the process that signed may be ahead of the one that verifies
_DOMAIN = b"winnow impression\x00"


class Proof(StrEnum):
    """What the impression id of an event is worth."""

    VALID = "valid"
    ABSENT = "absent"  # the event cites none
    FOREIGN = "foreign"  # it does not have our form: another ranker's
    WRONG = "wrong"  # of our form, and not signed by a secret of ours for this user and this item
    EXPIRED = "expired"  # older than the time to live
    FUTURE = "future"  # signed later than now


class Impressions:
    """Signs by the first of several secrets, verifies by all of them."""

    def __init__(self, secrets: Sequence[bytes], ttl_s: int) -> None:
        """Take at least one secret; an impression is good for `ttl_s` seconds."""
        self._keyed = [hmac.new(secret, _DOMAIN, "sha256") for secret in secrets]  # copied: keying costs as much again
        self._ttl_ms = ttl_s * 1_000

    @classmethod
    def of_file(cls, path: Path, ttl_s: int) -> "Impressions":
        """Read the secrets. Raises SetupError."""
        return cls(read_secrets(path, SETTING), ttl_s)

    def sign(self, user_id: str, item_ids: Sequence[bytes], version: str, at_ms: int) -> list[str]:
        """Return one impression id an item, in their order. Ids are at most 128 characters, items in UTF-8."""
        number = int(version) if version.isdecimal() else 0
        head = bytes([_FORMAT]) + at_ms.to_bytes(6, "big") + number.to_bytes(7, "big")
        begun = self._keyed[0].copy()
        begun.update(_prefixed(head, user_id))
        parts = []
        for item_id in item_ids:
            mac = begun.copy()
            mac.update(len(item_id).to_bytes(2, "big") + item_id)
            parts += [head, mac.digest()[:_MAC_BYTES]]
        text = base64.urlsafe_b64encode(b"".join(parts)).decode()  # all at once: 30 bytes end on a whole character
        return [text[at : at + TOKEN_CHARACTERS] for at in range(0, len(text), TOKEN_CHARACTERS)]

    def proof(self, token: str, user_id: str, item_id: str, now_ms: int) -> Proof:
        """Return what `token` proves of an exposure of this user to this item; "" is no token."""
        if not token:
            return Proof.ABSENT
        raw = _bytes_of(token)
        if raw is None:
            return Proof.FOREIGN
        head, mac = raw[:_HEAD_BYTES], raw[_HEAD_BYTES:]
        item = item_id.encode()
        signed = _prefixed(head, user_id) + len(item).to_bytes(2, "big") + item
        if not self._is_ours(mac, signed):
            return Proof.WRONG
        age_ms = now_ms - int.from_bytes(head[1:7], "big")
        if age_ms > self._ttl_ms:
            return Proof.EXPIRED
        return Proof.FUTURE if age_ms < -_SKEW_MS else Proof.VALID

    def _is_ours(self, mac: bytes, signed: bytes) -> bool:
        """Compare with what each secret makes of it, in the same time whether and where they differ."""
        for keyed in self._keyed:
            own = keyed.copy()
            own.update(signed)
            if hmac.compare_digest(own.digest()[:_MAC_BYTES], mac):
                return True
        return False


def _prefixed(head: bytes, user_id: str) -> bytes:
    user = user_id.encode()
    return head + len(user).to_bytes(2, "big") + user


def _bytes_of(token: str) -> bytes | None:
    """Return the bytes of a token of our form; None for any other text."""
    if len(token) != TOKEN_CHARACTERS:
        return None
    try:
        raw = binascii.a2b_base64(token.encode().translate(_FROM_URL_SAFE), strict_mode=True)
    except binascii.Error:
        return None
    return raw if len(raw) == _BYTES and raw[0] == _FORMAT else None


_FROM_URL_SAFE = bytes.maketrans(b"-_+/", b"+/!!")  # + and / are not of this alphabet: one text a token

"""Ids replaced at the edge by a keyed hash, so that log, labels, dead letters, models and checkpoints hold none.

A pseudonym is BLAKE2b of the id's UTF-8, keyed by the secret and personalised by what the id is of, 128 bits in 32
hexadecimal digits. It is the same in every process and after every restart, as long as the secret is the same; with
another secret everyone is new. `users` replaces the ids of people: viewers and authors. `all` replaces items too.
Event ids, impression ids, surfaces and tags stay as they were sent. See docs/decisions/0016.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from contract.errors import SetupError
from contract.events import EventLists
from contract.secret_files import read_secrets
from contract.settings import HashIds, IdSettings

SETTING = "WINNOW_ID_SECRET_FILE"
_DIGEST_BYTES = 16


def _same(text: str) -> str:
    return text


class Pseudonyms:
    """The ids that are stored in place of those that were sent. Immutable."""

    def __init__(self, hide: HashIds = "none", secret: bytes = b"") -> None:
        """Replace what `hide` says; `secret` is 32 to 64 bytes, and not needed for "none"."""
        people = _keyed(secret, b"user") if hide != "none" else _same
        self.hides_people = hide != "none"
        self.hides_items = hide == "all"
        self.fingerprint = _keyed(secret, b"fingerprint")("")[:8] if hide != "none" else None
        self._user = people
        self._author = _keyed(secret, b"author") if hide != "none" else _same
        self._item = _keyed(secret, b"item") if hide == "all" else _same

    @classmethod
    def of(cls, settings: IdSettings) -> "Pseudonyms":
        """Read the secret, where one is needed. Raises SetupError if it is missing or none."""
        if settings.hash_ids == "none":
            return cls()
        if settings.id_secret_file is None:
            raise SetupError(
                f"WINNOW_HASH_IDS is {settings.hash_ids} and {SETTING} is not set; make a file by `winnow secrets ids`"
            )
        (secret,) = read_secrets(settings.id_secret_file, SETTING, most=1)
        return cls(settings.hash_ids, secret)

    def user(self, text: str) -> str:
        """Return what is stored in place of a viewer's id."""
        return self._user(text)

    def item(self, text: str) -> str:
        """Return what is stored in place of an item's id."""
        return self._item(text)

    def author(self, text: str) -> str:
        """Return what is stored in place of an author's id; nothing stays nothing."""
        return self._author(text) if text else text

    def items(self, texts: Sequence[bytes]) -> Sequence[bytes]:
        """Return what is stored in place of items' ids, all in UTF-8."""
        return [self._item(text.decode()).encode() for text in texts] if self.hides_items else texts

    def events(self, events: EventLists) -> EventLists:
        """Return events with the ids that are stored."""
        if not self.hides_people:
            return events
        return events._replace(
            user_id=[self._user(text) for text in events.user_id],
            author_id=[self.author(text) for text in events.author_id],
            item_id=[self._item(text) for text in events.item_id] if self.hides_items else events.item_id,
        )


def _keyed(secret: bytes, of: bytes) -> Callable[[str], str]:
    begun = blake2b(key=secret, digest_size=_DIGEST_BYTES, person=of)

    def pseudonym(text: str) -> str:
        own = begun.copy()  # keying it anew would cost as much again
        own.update(text.encode())
        return own.hexdigest()

    return pseudonym

"""A pseudonym is a keyed hash: the same in every process, another for another secret, and never the id itself."""

from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given

from contract.errors import SetupError
from contract.events import MAX_ID_CHARACTERS, EventLists, FeedbackEvent
from contract.pseudonyms import Pseudonyms
from contract.secret_files import make_secret_file
from contract.settings import IdSettings
from tests.strategies import external_ids, feedback_events

SECRET, OTHER = b"s" * 32, b"t" * 64
ALL = Pseudonyms("all", SECRET)


@given(external_ids)
def test_a_pseudonym_is_what_its_description_says(text: str) -> None:
    for of, pseudonym in [(b"user", ALL.user(text)), (b"item", ALL.item(text)), (b"author", ALL.author(text))]:
        assert pseudonym == blake2b(text.encode(), key=SECRET, digest_size=16, person=of).hexdigest()
        assert len(pseudonym) == 32 <= MAX_ID_CHARACTERS
    assert ALL.items([text.encode()]) == [ALL.item(text).encode()]


def test_user_item_author_and_secret_each_make_another() -> None:
    other = Pseudonyms("all", OTHER)
    found = [of("7") for one in (ALL, other) for of in (one.user, one.item, one.author)]
    assert len({*found, ALL.fingerprint, other.fingerprint}) == 8


@given(feedback_events)
def test_events_keep_everything_but_the_ids_that_are_hidden(event: FeedbackEvent) -> None:
    sent = EventLists.of_models([event])
    assert Pseudonyms().events(sent) is sent
    for hidden in (Pseudonyms("users", SECRET), ALL):
        stored = hidden.events(sent)
        assert stored.user_id == [ALL.user(event.user_id)]
        assert stored.author_id == [ALL.author(event.author_id) if event.author_id else ""]
        assert stored.item_id == ([ALL.item(event.item_id)] if hidden is ALL else [event.item_id])
        assert stored._replace(user_id=sent.user_id, author_id=sent.author_id, item_id=sent.item_id) == sent


def test_where_nothing_is_hidden_ids_stay(tmp_path: Path) -> None:
    none = Pseudonyms.of(IdSettings(id_secret_file=tmp_path / "is not read"))
    assert (none.user("u"), none.item("v"), none.author("a"), none.items([b"v"])) == ("u", "v", "a", [b"v"])
    users = Pseudonyms("users", SECRET)
    assert (users.item("v"), users.items([b"v"])) == ("v", [b"v"])


def test_the_settings_name_the_secret(tmp_path: Path) -> None:
    make_secret_file(path := tmp_path / "secret")
    settings = IdSettings(hash_ids="users", id_secret_file=path)
    assert Pseudonyms.of(settings).user("u1") == Pseudonyms.of(settings).user("u1") != "u1"


def test_a_missing_secret_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="WINNOW_HASH_IDS is all and WINNOW_ID_SECRET_FILE is not set"):
        Pseudonyms.of(IdSettings(hash_ids="all"))
    with pytest.raises(SetupError, match=r"WINNOW_ID_SECRET_FILE: .* cannot be read"):
        Pseudonyms.of(IdSettings(hash_ids="users", id_secret_file=tmp_path / "none"))


def test_two_secrets_are_refused_for_ids_would_have_two_pseudonyms(tmp_path: Path) -> None:
    (path := tmp_path / "secret").write_text("\n".join(["00" * 32, "11" * 32]))
    path.chmod(0o600)
    with pytest.raises(SetupError, match=r"holds 2 secrets; it should hold 1$"):
        Pseudonyms.of(IdSettings(hash_ids="all", id_secret_file=path))

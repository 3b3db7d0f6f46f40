"""The file of API keys: it holds no secret, is for its owner alone, and is refused when anything is wrong with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.api_keys import Role, digest_of, id_in, new_key, read_keys, write_keys
from contract.errors import SetupError


def test_what_is_written_is_read_and_holds_the_hash_only(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, entry = new_key([Role.SCORE, Role.FEEDBACK], "ranker", timedelta(days=90))
    write_keys(path, [entry])
    assert read_keys(path) == (entry,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.split("_", 2)[2] not in path.read_text()
    assert entry.sha256 == digest_of(key.encode()).hex()
    assert id_in(key.encode()) == entry.id


def test_keys_differ_and_carry_256_bits() -> None:
    keys = {new_key([Role.SCORE], "x")[0] for _ in range(100)}
    assert len(keys) == 100
    assert {len(key.split("_", 2)[2]) for key in keys} == {43}


@pytest.mark.parametrize(
    "text",
    [b"", b"wnw_", b"wnw_5f0c6c1e9ab2_short", b"WNW_5f0c6c1e9ab2_" + b"a" * 43, b"wnw_5f0c6c1e9ab2_" + b"a" * 44],
)
def test_what_has_not_the_shape_of_a_key_has_no_id(text: bytes) -> None:
    assert id_in(text) is None


def test_a_key_lives_until_it_expires() -> None:
    _, entry = new_key([Role.SCORE], "x", timedelta(hours=1))
    now = datetime.now(UTC)
    assert entry.is_live(now)
    assert not entry.is_live(now + timedelta(hours=2))


def test_a_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, [])
    path.chmod(0o644)
    with pytest.raises(SetupError, match=r"mode 0644\); chmod it to 0600"):
        read_keys(path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"keys": [{"id": "1"}]}', '{"keys": [], "more": 1}'])
def test_a_damaged_file_is_refused_and_a_missing_one_too(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(SetupError, match="winnow keys new"):
        read_keys(path)
    path.write_text(damage)
    path.chmod(0o600)
    with pytest.raises(SetupError, match="is damaged at"):
        read_keys(path)


def test_an_id_that_comes_twice_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, entry = new_key([Role.SCORE], "x")
    write_keys(path, [entry])
    path.write_text(f'{{"keys": [{entry.model_dump_json()}, {entry.model_dump_json()}]}}')
    with pytest.raises(SetupError, match="twice"):
        read_keys(path)

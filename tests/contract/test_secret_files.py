"""A file of secrets is read if it is closed to others and holds nothing else; a complaint never shows one."""

from pathlib import Path

import pytest

from contract.errors import SetupError
from contract.secret_files import make_secret_file, new_secret, read_secrets, replace_secrets

SECRET = "5ec2e7" * 12


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_lines_are_read_in_their_order(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "s", f"# made today\n\n{SECRET}\n  {'0A' * 64}\n", mode)
    assert read_secrets(path, "S") == [bytes.fromhex(SECRET), bytes([10]) * 64]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds 0 secrets; it should hold 1 to 8"),
        ("# nothing\n", "holds 0 secrets"),
        (SECRET[:62], "line 1 of"),
        (SECRET + "0", "line 1 of"),
        ("00" * 65, "line 1 of"),
        (f"{SECRET}\n{SECRET} {SECRET}", "line 2 of"),
        (f"{SECRET}\nsecret", "line 2 of"),
        (f"{SECRET}\n{SECRET.upper()}", "a secret twice"),
        ("\n".join(f"{n:064x}" for n in range(9)), "holds 9 secrets"),
        ("é" * 64, "line 1 of"),
        ("#" * 20_000, "more than 16384 bytes"),
    ],
)
def test_a_file_that_holds_anything_else_is_refused_without_showing_it(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SetupError, match=why) as refused:
        read_secrets(written(tmp_path / "s", text), "WINNOW_S")
    assert str(refused.value).startswith("WINNOW_S: ")
    assert SECRET[:12] not in str(refused.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o660, 0o602, 0o601])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(SetupError, match="chmod it to 0600"):
        read_secrets(written(tmp_path / "s", SECRET, mode), "S")


def test_a_file_that_is_missing_or_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SetupError, match="cannot be read"):
            read_secrets(path, "S")


def test_a_new_file_is_its_owners_only_and_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s"
    make_secret_file(path)
    [secret] = read_secrets(path, "S", most=1)
    assert (len(secret), path.stat().st_mode & 0o777) == (32, 0o600)
    with pytest.raises(SetupError, match="it is left as it is"):
        make_secret_file(path)
    assert read_secrets(path, "S") == [secret]


def test_replaced_secrets_stay_their_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    make_secret_file(path)
    others = [new_secret(), new_secret()]
    replace_secrets(path, others)
    assert read_secrets(path, "S") == others
    assert path.stat().st_mode & 0o777 == 0o600

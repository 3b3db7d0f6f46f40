"""`winnow keys`: a key is shown once, listed without its secret, and taken away."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from contract.api_keys import read_keys
from contract.errors import SetupError
from winnow.keys_command import app, duration_of


def run(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--file", str(file)])


def test_two_keys_live_side_by_side_until_one_is_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "api.json"
    old, new = (run(file, "new", "--role", "score", "--name", name).stdout.strip() for name in ("old", "new"))
    assert [key.name for key in read_keys(file)] == ["old", "new"]
    listed = run(file, "list").stdout
    assert "old" in listed
    assert "live" in listed
    assert old.split("_", 2)[2] not in listed
    assert run(file, "revoke", old.split("_")[1]).exit_code == 0
    assert [key.id for key in read_keys(file)] == [new.split("_")[1]]


def test_a_key_has_the_roles_the_life_and_the_bounds_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    options = ["--role", "score", "--role", "feedback", "--expires", "90d", "--events-per-s", "50"]
    assert run(file, "new", "--name", "x", *options).exit_code == 0
    (key,) = read_keys(file)
    assert key.roles == ("score", "feedback")
    assert key.expires is not None
    assert key.expires - key.created == timedelta(days=90)
    assert key.limits is not None
    assert (key.limits.events_per_s, key.limits.requests_per_s) == (50, None)


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "90 d", "1y"])
def test_a_duration_that_is_none_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(SetupError, match="90d, 12h or 30m"):
        duration_of(text)


def test_to_revoke_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    key = run(file, "new", "--role", "admin", "--name", "x").stdout
    refused = run(file, "revoke", "000000000000")
    assert refused.exit_code == 2
    assert key.split("_")[1] in refused.stderr

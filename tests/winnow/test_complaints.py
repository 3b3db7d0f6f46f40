"""Every error of a command is one line and exit code 2."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from winnow.cli import app


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["models", "show", "000009", "--home", "{home}"], "version '000009' is not in the registry"),
        (["models", "rollback", "--home", "{home}"], "no earlier champion"),
        (["evaluate", "{home}/missing.csv", "--measure-from", "monday"], "write it as 2022-04-28"),
        (["serve", "--home", "{home}", "--port", "-1"], "port"),
    ],
)
def test_an_error_is_one_line_and_exit_code_2(arguments: list[str], complaint: str, home: Path) -> None:
    done = CliRunner().invoke(app, [part.format(home=home) for part in arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_doctor_prints_a_path_in_brackets_whole(home: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--home", str(home), "--redis-url", f"unix://{home}/[none].sock"])
    assert done.exit_code == 1
    assert f"{home}/[none].sock" in done.stdout

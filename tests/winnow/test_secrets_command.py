"""`winnow secrets`: files that the service reads, rotated with no moment in which a proof is lost, and never shown."""

from pathlib import Path

from typer.testing import CliRunner

from contract.secret_files import read_secrets
from winnow.secrets_command import app


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def test_a_secret_is_made_once_and_not_shown(tmp_path: Path) -> None:
    for kind, setting in [("impressions", "WINNOW_IMPRESSION_SECRETS_FILE"), ("ids", "WINNOW_ID_SECRET_FILE")]:
        path = tmp_path / kind
        said = run(kind, str(path))
        assert setting in said
        [secret] = read_secrets(path, "S")
        assert secret.hex()[:8] not in said
        assert "it is left as it is" in run(kind, str(path), code=2)
        assert read_secrets(path, "S") == [secret]


def test_a_rotation_adds_then_signs_by_the_new_then_drops_the_old(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    run("impressions", path)
    [old] = read_secrets(Path(path), "S")
    run("impressions", path, "--add")
    first, new = read_secrets(Path(path), "S")
    assert first == old != new
    assert "finish that rotation" in run("impressions", path, "--add", code=2)
    run("impressions", path, "--use-added")
    assert read_secrets(Path(path), "S") == [new, old]
    run("impressions", path, "--drop")
    assert read_secrets(Path(path), "S") == [new]


def test_one_step_at_a_time(tmp_path: Path) -> None:
    assert "one step at a time" in run("impressions", str(tmp_path / "s"), "--add", "--drop", code=2)
    assert not (tmp_path / "s").exists()


def test_a_file_that_is_not_there_is_not_rotated(tmp_path: Path) -> None:
    assert "cannot be read" in run("impressions", str(tmp_path / "s"), "--add", code=2)

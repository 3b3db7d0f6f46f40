"""Pages made from the code are written, and compared."""

from pathlib import Path

import pytest

from winnow.generated_page import write_or_check


def test_a_stale_page_fails_the_check_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    assert write_or_check(lambda: "as it is", ["--check", str(page)]) == 1
    assert write_or_check(lambda: "as it is", [str(page)]) == 0
    assert write_or_check(lambda: "as it is", ["--check", str(page)]) == 0
    assert write_or_check(lambda: "as it is now", ["--check", str(page)]) == 1
    assert "make docs" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--unknown"], ["one.md", "two.md"]])
def test_anything_else_is_refused_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        write_or_check(lambda: "page", arguments)
    assert refused.value.code == 2
    assert not list(tmp_path.iterdir())

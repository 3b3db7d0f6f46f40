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

"""The page of settings: made from the fields, and never stale."""

from pathlib import Path

import pytest

from service.settings import ServiceSettings
from trainer.settings import TrainerSettings
from winnow.settings_page import main, render

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_in_the_docs_is_what_the_settings_say() -> None:
    assert main(["--check", str(PAGE)]) == 0


def test_every_setting_has_its_variable_and_description_on_the_page() -> None:
    page = render()
    for settings in (ServiceSettings, TrainerSettings):
        for name, field in settings.model_fields.items():
            assert f"`WINNOW_{name.upper()}`" in page
            assert field.description
            assert field.description in page


def test_a_stale_page_fails_the_check_with_its_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "configuration.md"
    assert main(["--check", str(page)]) == 1
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    page.write_text(page.read_text() + "edited by hand\n")
    assert main(["--check", str(page)]) == 1
    assert "make docs" in capsys.readouterr().err

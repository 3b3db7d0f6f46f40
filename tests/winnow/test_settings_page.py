"""The page of settings: made from the fields, and never stale."""

from pathlib import Path

from service.settings import ServiceSettings
from trainer.settings import TrainerSettings
from winnow.generated_page import write_or_check
from winnow.settings_page import render

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_in_the_docs_is_what_the_settings_say() -> None:
    assert write_or_check(render, ["--check", str(PAGE)]) == 0


def test_every_setting_has_its_variable_and_description_on_the_page() -> None:
    page = render()
    for settings in (ServiceSettings, TrainerSettings):
        for name, field in settings.model_fields.items():
            assert f"`WINNOW_{name.upper()}`" in page
            assert field.description
            assert field.description in page

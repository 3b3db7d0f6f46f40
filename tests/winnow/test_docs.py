"""The pages name what the code offers: a method without a row, or a row without a method, fails."""

import re
from pathlib import Path
from typing import get_args

import pytest

from trainer.settings import LearnerSettings

ROOT = Path(__file__).parents[2]
METHODS = (ROOT / "docs/methods.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(("heading", "setting"), [("Targets", "target"), ("Metas", "meta"), ("Backbones", "backbone")])
def test_each_method_has_one_row(heading: str, setting: str) -> None:
    section = re.split(r"^## ", METHODS.split(f"\n## {heading}", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `([a-z][a-z0-9-]*)`", section, flags=re.MULTILINE)
    assert sorted(rows) == sorted(get_args(LearnerSettings.model_fields[setting].annotation))


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_that_the_walk_through_the_code_names_is_there() -> None:
    named = re.findall(
        r"`((?:contract|models|service|trainer|winnow|deploy)/[\w/.]+\.\w+)`",
        (ROOT / "docs/architecture.md").read_text(),
    )
    assert len(named) > 50
    assert [path for path in named if not (ROOT / path).exists()] == []

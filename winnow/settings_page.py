"""`python -m winnow.settings_page [--check] FILE`: the page of all settings, made from the settings themselves."""

import sys

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from service.settings import ServiceSettings
from trainer.settings import TrainerSettings
from winnow.generated_page import write_or_check

_HEAD = """# Configuration

Every setting is an environment variable; command-line options of the same name win over it. This page is made from the
code by `make docs`, and `make check` fails when it is stale.
"""


def render() -> str:
    """Return the page in Markdown."""
    return "\n".join([_HEAD, *_section("Service", ServiceSettings), *_section("Trainer", TrainerSettings)])


def _section(title: str, settings: type[BaseSettings]) -> list[str]:
    rows = [
        f"| `WINNOW_{name.upper()}` | `{_default(info)}` | {_bounds(info)} | {info.description} |"
        for name, info in sorted(settings.model_fields.items())
    ]
    return [f"## {title}", "", "| variable | default | allowed | meaning |", "|---|---|---|---|", *rows, ""]


def _default(info: FieldInfo) -> str:
    return "none" if info.default is None else str(info.default)


def _bounds(info: FieldInfo) -> str:
    signs = {"ge": "at least", "gt": "over", "le": "at most", "lt": "under", "pattern": "matches"}
    bounds = [
        f"{word} {getattr(part, name)}".replace("|", "\\|")
        for part in info.metadata
        for name, word in signs.items()
        if getattr(part, name, None) is not None
    ]
    choices = getattr(info.annotation, "__args__", ()) if "Literal" in str(info.annotation) else ()
    return ", ".join(bounds + [f"`{choice}`" for choice in choices]) or "any"


if __name__ == "__main__":
    sys.exit(write_or_check(render, sys.argv[1:]))

"""What a bench leaves behind: the command that was given, its figures as JSON, its page, and a line for each bar."""

import shlex
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.serving.report.words import Verdict

PAGES = Path("docs/benchmarks")


def command_of(function: Callable[..., None], given: dict[str, Any]) -> str:
    """Return the command that was given, as far as it shapes the figures."""
    words = ["winnow", "bench", function.__name__]
    for name, parameter in signature(function).parameters.items():
        if name not in ("work", "report", "only") and given[name] != parameter.default:
            values = given[name] if isinstance(given[name], list) else [given[name]]
            for value in values:
                words += [f"--{name.strip('_').replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def write_page(
    name: str,
    work: Path,
    report: Path | None,
    quick: bool,
    facts: dict[str, Any],
    render: Callable[[Path], str],
    said: "list[Verdict]",
) -> None:
    """Write figures and page, and say what came of the bars."""
    import orjson
    from rich.console import Console

    facts["verdicts"] = [{"demand": demand, "met": met, "seen": seen} for demand, met, seen in said]
    figures = work / ("figures-quick.json" if quick else "figures.json")
    figures.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    page = report or ((work if quick else PAGES) / f"{name}.md")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(page.parent))
    console = Console()
    for demand, met, seen in said:
        console.print({True: "met   ", False: "MISSED", None: "open  "}[met], demand, "->", seen)
    console.print(f"{figures} and {page} written")

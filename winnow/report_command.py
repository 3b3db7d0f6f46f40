"""`winnow report`: the last hours of one home as a page to keep or send."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from contract.errors import SetupError
from contract.settings import LogSettings
from winnow.complaints import one_line_errors

console = Console()
_HOURS = {"m": 1 / 60, "h": 1.0, "d": 24.0}
_MOST_HOURS = 168.0


@one_line_errors
def report(
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h or 7d, seven days at most.")] = "24h",
    home: Annotated[Path | None, typer.Option(help="Directory of all runtime state [default: .winnow].")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Event log; without it the home's embedded server.")] = None,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("report.html"),
) -> None:
    """Write quality, freshness, noise, versions and faults of the last hours to one HTML page."""
    hours = hours_in(since)
    try:
        from winnow.report.facts import gather
        from winnow.report.page import render
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise SetupError("a report reads the label log: pip install 'winnow-denoise[console]'") from error
    given: dict[str, Any] = {"home": home, "redis_url": redis_url}
    settings = LogSettings(**{name: value for name, value in given.items() if value is not None})
    facts = gather(settings.home, settings.registry_directory, settings.redis_url, since, hours)
    out.write_text(render(facts), encoding="utf-8")
    console.print(f"{sum(hour.events for hour in facts.hours):,} events of the last {since} are in {out}")


def hours_in(since: str) -> float:
    """Return the hours of 90m, 24h or 7d. Raises SetupError."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", since)
    hours = int(found[1]) * _HOURS[found[2]] if found else 0.0
    if not 0 < hours <= _MOST_HOURS:
        raise SetupError(f"--since {since!r} is no time from 1m to 7d; write it as 90m, 24h or 7d")
    return hours

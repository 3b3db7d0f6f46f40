"""`winnow labels`: the denoised data set."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contract.settings import HomeSettings
from winnow.complaints import one_line_errors

app = typer.Typer(help="The denoised data set.", no_args_is_help=True)
console = Console()


@app.callback()
def labels() -> None:
    """Keep `export` a command of its own, though it is the only one."""


@app.command()
@one_line_errors
def export(
    out: Annotated[Path, typer.Argument(help="File to write, .parquet or .csv.")],
    home: Annotated[Path | None, typer.Option(help="Directory of all runtime state [default: .winnow].")] = None,
) -> None:
    """Bring the whole label log into one file."""
    from trainer.label_log import export_labels

    settings = HomeSettings() if home is None else HomeSettings(home=home)
    console.print(f"{export_labels(settings.home / 'labels', out):,} rows written to {out}")

"""`winnow secrets`: make and rotate the secrets that sign impressions, and make the one that hides ids (P10).

A secret is never printed. Services read their files once, at start.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contract.errors import SetupError
from contract.impressions import SETTING as IMPRESSIONS
from contract.pseudonyms import SETTING as IDS
from contract.secret_files import make_secret_file, new_secret, read_secrets, replace_secrets
from winnow.complaints import one_line_errors

LIVE_AT_ONCE = 2
app = typer.Typer(help="Secrets of signed impressions and of hashed ids.", no_args_is_help=True)
console = Console(soft_wrap=True)

File = Annotated[Path, typer.Argument(help="The file; readable by its owner only.")]


@app.command()
@one_line_errors
def impressions(
    file: File,
    add: Annotated[bool, typer.Option("--add", help="Rotate, 1: add one that verifies and does not sign yet.")] = False,
    use_added: Annotated[bool, typer.Option("--use-added", help="Rotate, 2: sign by the one added last.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Rotate, 3: forget all but the one that signs.")] = False,
) -> None:
    """Make the secret that signs impressions, or rotate it: --add, --use-added, --drop (restart services after each).

    Wait with --drop until what the old one signed has expired (WINNOW_IMPRESSION_TTL_S).
    """
    if add + use_added + drop > 1:
        raise SetupError("one step at a time: --add, --use-added or --drop, and restart the services after each")
    if not (add or use_added or drop):
        make_secret_file(file)
        console.print(f"{file} holds a new secret; set {IMPRESSIONS} to it for every service")
        return
    found = read_secrets(file, IMPRESSIONS)
    if add:
        if len(found) >= LIVE_AT_ONCE:
            raise SetupError(f"{file} holds {len(found)} secrets already; finish that rotation by --use-added, --drop")
        found = [*found, new_secret()]
    elif use_added:
        found = [found[-1], *found[:-1]]
    else:
        found = found[:1]
    replace_secrets(file, found)
    console.print(f"{file} holds {len(found)} secrets; the first signs, all verify. Restart the services")


@app.command()
@one_line_errors
def ids(file: File) -> None:
    """Make the secret of hashed ids. Keep it for as long as the data: with another one everyone is new."""
    make_secret_file(file)
    console.print(f"{file} holds a new secret; set {IDS} to it for every service. Back it up: nothing can replace it")

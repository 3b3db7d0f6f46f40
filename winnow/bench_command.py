"""`winnow bench`: every claim, measured on this machine."""

import typer

from benchmarks.chaos.command import chaos
from benchmarks.console.command import console
from benchmarks.denoising.command import denoise
from benchmarks.serving import command as serving
from benchmarks.speed.command import train
from winnow.complaints import one_line_errors

app = typer.Typer(help="Every claim, measured on this machine.", no_args_is_help=True)
app.command("denoise")(one_line_errors(denoise))
app.command("train")(one_line_errors(train))
app.command("serve")(one_line_errors(serving.serve))
app.command("ingest")(one_line_errors(serving.ingest))
app.command("swap")(one_line_errors(serving.swap))
app.command("fresh")(one_line_errors(serving.fresh))
app.command("grow")(one_line_errors(serving.grow))
app.command("console")(one_line_errors(console))
app.command("chaos")(one_line_errors(chaos))

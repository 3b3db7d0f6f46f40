"""`python -m benchmarks.denoising`: the bench without the `winnow` command."""

import typer

from benchmarks.denoising.command import denoise

if __name__ == "__main__":
    typer.run(denoise)

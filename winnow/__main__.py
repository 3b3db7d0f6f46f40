"""`python -m winnow`."""

from winnow.cli import app

app()

"""Pages of the documentation that are made from the code: written by `make docs`, compared by `make check`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(render: Callable[[], str], arguments: Sequence[str]) -> int:
    """Write the page to the file that `arguments` end with, or with --check compare it; return the exit code."""
    *flags, name = arguments
    path, page = Path(name), render()
    if "--check" not in flags:
        path.write_text(page)
        return 0
    if path.exists() and path.read_text() == page:
        return 0
    sys.stderr.write(f"{path} is not what the code says; run `make docs`\n")
    return 1

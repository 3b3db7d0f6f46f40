"""Pages of the documentation that are made from the code: written by `make docs`, compared by `make check`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(render: Callable[[], str], arguments: Sequence[str]) -> int:
    """Write the page to the file that `arguments` name, or with --check compare it; return the exit code."""
    parser = argparse.ArgumentParser(description="Write a page that is made from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if the file says otherwise")
    parser.add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    page = render()
    if not given.check:
        given.file.write_text(page)
        return 0
    if given.file.exists() and given.file.read_text() == page:
        return 0
    sys.stderr.write(f"{given.file} is not what the code says; run `make docs`\n")
    return 1

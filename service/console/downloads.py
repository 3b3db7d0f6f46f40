"""Exports: written by a reader to a file of their own, then sent, then gone."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Response
from starlette.background import BackgroundTask
from starlette.responses import FileResponse

from service.console.reading import Reader

_TYPES = {".csv": "text/csv; charset=utf-8", ".parquet": "application/vnd.apache.parquet"}


class Downloads:
    """Files made on request. Its reader is its own: the pages' questions do not wait for an export."""

    def __init__(self, reader: Reader) -> None:
        """Let `reader` write them."""
        self._reader = reader

    async def of(self, about: str, query: Mapping[str, Any], name: str) -> Response:
        """Return the file that a question makes. Raises what asking it raises."""
        directory = Path(tempfile.mkdtemp(prefix="winnow-export-"))
        out = directory / name
        try:
            await self._reader.ask(about, {"query": query, "out": str(out)})
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        gone = BackgroundTask(shutil.rmtree, directory, ignore_errors=True)
        return FileResponse(out, filename=name, media_type=_TYPES[out.suffix], background=gone)

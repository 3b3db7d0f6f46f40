"""What the reader is asked about, and what it answers: one table from the name of a question to who knows.

Runs in the reader's process. Whatever the answer is, it is a status and a content: JSON with 200, else what is wrong.
"""

import sys
import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from contract.errors import LogError, RegistryError, VersionCorrupt, VersionNotFound, WinnowError
from contract.registry import Registry
from service.archive.asked import (
    AuditAsked,
    AuditExportAsked,
    HoursAsked,
    IdsAsked,
    LabelsAsked,
    LabelsExportAsked,
    SuspectsAsked,
)
from service.archive.labels_at_hand import labels_at_hand
from service.console.opened import OpenedVersions
from service.console.overridden import Overridden
from service.console.receipt_search import ReceiptSearch
from service.console.refused import Refused
from service.console.registry_view import RegistryView

if TYPE_CHECKING:
    from service.archive.archive import Archive

_Asked = dict[str, Any]
_PAIRS = 500  # held against each other: each may take a run of the graph in both versions


class Questions:
    """The reader's knowledge, kept between questions."""

    def __init__(self, home: Path) -> None:
        """Read under `home`; nothing is opened yet."""
        self._home = home
        self._overridden = Overridden()
        self._about: dict[str, Callable[[_Asked], object]] = {
            "labels": lambda asked: self._with_overrides(self._archive.labels(LabelsAsked(**asked["query"])), asked),
            "histogram": lambda asked: self._archive.histogram(HoursAsked(**asked)),
            "audit": lambda asked: self._archive.audit(AuditAsked(**asked)),
            "suspects": lambda asked: self._archive.suspects(SuspectsAsked(**asked)),
            "ids": lambda asked: self._archive.ids(IdsAsked(**asked)),
            "export_labels": lambda asked: self._archive.export_labels(
                LabelsExportAsked(**asked["query"]), Path(asked["out"])
            ),
            "export_audit": lambda asked: self._archive.export_audit(
                AuditExportAsked(**asked["query"]), Path(asked["out"])
            ),
            "overrides": lambda asked: self._overridden.newest(asked["redis_url"]),
            "models": lambda _: self._registry.models(),
            "compare": lambda asked: self._opened.compare(asked["a"], asked["b"], self._pairs()),
            "score": lambda asked: self._opened.score(asked),
            "receipt": lambda asked: self._receipts.find(asked["event_id"], asked["redis_url"]),
        }

    def answer(self, about: str, asked: _Asked) -> tuple[int, bytes]:
        """Return a status, and JSON or words."""
        try:
            return 200, orjson.dumps(self._about[about](asked), option=orjson.OPT_SERIALIZE_NUMPY)
        except MemoryError:
            return 503, b"this does not fit into the memory that reading may take; ask for fewer hours"
        except (WinnowError, Refused) as error:
            return _status_of(error), str(error).encode()
        except OSError as error:
            return 503, f"what this asks for cannot be read here ({error.strerror})".encode()
        except Exception:
            print(traceback.format_exc(), file=sys.stderr)  # noqa: T201 - the service's log
            return 500, b"this is a fault of the service; its log has more"

    @property
    def _archive(self) -> "Archive":
        """The label log. Raises Refused where it cannot be read."""
        at_hand = labels_at_hand(self._home)
        if at_hand.why is not None:
            raise Refused(501, at_hand.why)
        return self._found_archive

    @cached_property
    def _found_archive(self) -> "Archive":
        from service.archive.archive import Archive  # needs pyarrow

        return Archive(self._home)

    @cached_property
    def _registry(self) -> RegistryView:
        return RegistryView(Registry(self._home / "registry"))

    @cached_property
    def _opened(self) -> OpenedVersions:
        return OpenedVersions(self._registry)

    @cached_property
    def _receipts(self) -> ReceiptSearch:
        return ReceiptSearch(self._home, lambda: self._archive)

    def _pairs(self) -> list[Any]:
        return self._archive.pairs(_PAIRS) if labels_at_hand(self._home).available else []

    def _with_overrides(self, found: dict[str, Any], asked: _Asked) -> dict[str, Any]:
        return self._overridden.filled_in(found, asked["redis_url"])


def _status_of(error: Exception) -> int:
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, VersionNotFound):
        return 404
    if isinstance(error, VersionCorrupt):
        return 409
    return 503 if isinstance(error, LogError | RegistryError) else 500

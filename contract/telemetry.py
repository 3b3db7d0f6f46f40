"""Logs of every process: structlog, a short fixed name in the past tense and facts as fields.

One line an event: in JSON by its own rules, as text with what cannot be printed escaped, so that no id from outside
begins a line or colours a terminal. Libraries that log by Python's own way, and what ends a process, come in the same
form. What is bound in `structlog.contextvars`, such as the ids of a span that is traced, is on each line.
"""

import logging
import sys
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor

from contract.settings import TelemetrySettings

_TEXTS_OF_LINES = {"exception", "stack"}  # tracebacks, that are read as they stand


def configure_logs(settings: TelemetrySettings) -> None:
    """Set up structlog for this process, to standard error; call once at start."""
    said: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    written: list[Processor] = (
        [structlog.processors.JSONRenderer()]
        if settings.log_json
        else [_printable, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*said, *written],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(said, written)
    if settings.log_json:
        sys.excepthook = _last_words


def _adopt_libraries(said: list[Processor], written: list[Processor]) -> None:
    """Write what libraries warn of as `library_warned`, with the name of the logger."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _named, *said],
        )
    )
    logging.basicConfig(handlers=[lines], level=logging.WARNING)
    logging.captureWarnings(True)


def _named(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["said"], event["event"] = event["event"], "library_warned"
    return event


def _printable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            kept = "\n" if key in _TEXTS_OF_LINES else ""
            event[key] = "".join(one if one.isprintable() or one in kept else _escaped(one) for one in value)
    return event


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write what ends the process as one line too."""
    structlog.get_logger().critical("process_failed", exc_info=(kind, error, trace))

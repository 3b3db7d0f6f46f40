"""Traces: whether this process tells what it does.

They are off unless the environment names a collector, by the standard variables of OpenTelemetry. While they are off
nothing of OpenTelemetry is imported, no field is added to an entry, and whoever could be traced holds None.
"""

import importlib.util
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from contract.errors import SetupError

if TYPE_CHECKING:
    from contract.open_telemetry import Traces

REMEDY = "pip install '.[traces]', or unset OTEL_EXPORTER_OTLP_ENDPOINT"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def traces_of(process: str) -> "Traces | None":
    """Return where `process` tells its spans; None where the environment names no collector.

    Raises SetupError if it names one and what is needed for it is not installed, or is not spoken here.
    """
    if not are_wanted(os.environ):
        return None
    if trouble := trouble_with(os.environ):
        raise SetupError(trouble)
    from contract.open_telemetry import Traces

    return Traces(process)


def are_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a collector and does not switch it off. Pure."""
    said = {name: environment.get(name, "").strip().lower() for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER")}
    if said["OTEL_SDK_DISABLED"] == "true" or said["OTEL_TRACES_EXPORTER"] == "none":
        return False
    return any(environment.get(name, "").strip() for name in _ENDPOINTS)


def trouble_with(environment: Mapping[str, str]) -> str | None:
    """Return what keeps the collector that is named from being told, and the remedy; None if nothing does."""
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        return f"traces are sent as {_PROTOCOL}, not {protocol}; set OTEL_EXPORTER_OTLP_PROTOCOL={_PROTOCOL}"
    if not all(map(_is_installed, _NEEDED)):
        return f"the environment names a collector of traces, and OpenTelemetry is not installed here; {REMEDY}"
    return None


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package it is in
        return False

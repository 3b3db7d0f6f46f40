"""Rows of a parametrised test."""

from typing import Any


def each(field: str, *values: Any) -> list[tuple[str, Any]]:
    """Return one row (field, value) a value."""
    return [(field, value) for value in values]

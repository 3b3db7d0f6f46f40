"""Numbers and tables in Markdown."""

import math
from collections.abc import Sequence

from benchmarks.denoising.paired import Difference, Series

DASH = "–"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], of_text: bool = False) -> str:
    """Return a table whose first column is text and whose others are numbers, or all text."""
    marks = [":--", *[":--" if of_text else "--:"] * (len(headers) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headers, marks, *rows))


def number(value: float, digits: int = 4) -> str:
    """Return a number without its leading zero, as tables of AUCs print it; a dash for nan."""
    if math.isnan(value):
        return DASH
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def with_spread(series: Series) -> str:
    """Return the mean over seeds and their standard deviation."""
    if math.isnan(series.mean):
        return DASH
    return number(series.mean) + ("" if math.isnan(series.spread) else f" ± {number(series.spread)}")


def whole(series: Series) -> str:
    """Return the mean over seeds as a whole number."""
    return DASH if math.isnan(series.mean) else f"{series.mean:,.0f}"


def signed(difference: Difference | None, mark: str = "") -> str:
    """Return a difference, its 95 % interval, and a mark."""
    if difference is None:
        return DASH
    return f"{_plus(difference.value)} [{_plus(difference.low)}, {_plus(difference.high)}]{mark}"


def _plus(value: float) -> str:
    return DASH if math.isnan(value) else ("+" if value >= 0 else "") + number(value)

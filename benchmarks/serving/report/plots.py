"""Plots of the serving benches as small SVG files: text stays text, no dates; equal figures give equal files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "winnow",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_OWN, _OTHER, _CONTROL = "#0b6e4f", "#555555", "#b0b0b0"
_PARTS = ("#0b6e4f", "#4c9f70", "#8fb996", "#c7d6b4")


def bars(path: Path, rates: Mapping[str, Mapping[str, float]], unit: str, own: str = "winnow") -> str:
    """Draw one panel a group, one bar a name; `own` in colour. Returns the file's name."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.6 * len(rates), 0.8 + 0.3 * max(map(len, rates.values()))), layout="constrained")
        for place, (group, found) in enumerate(rates.items()):
            panel = figure.add_subplot(1, len(rates), place + 1)
            names = list(found)[::-1]
            colours = [_OWN if name == own else _CONTROL if name == "limit" else _OTHER for name in names]
            panel.barh(names, [found[name] for name in names], color=colours)
            panel.set_title(group, fontsize=9)
            panel.set_xlabel(unit)
        return _save(figure, path)


def stacked(path: Path, parts: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Draw one bar a row, made of named parts. Returns the file's name."""
    with mpl.rc_context(_STYLE):
        figure, panel = _one(5.6, 0.9 + 0.3 * len(parts))
        rows, left = list(parts)[::-1], np.zeros(len(parts))
        for name, colour in zip(next(iter(parts.values())), _PARTS, strict=False):
            widths = np.array([parts[row][name] for row in rows])
            panel.barh(rows, widths, left=left, color=colour, label=name)
            left += widths
        panel.set_xlabel(unit)
        panel.legend(fontsize=7, bbox_to_anchor=(1.02, 1.0), loc="upper left")
        return _save(figure, path)


def lines(
    path: Path, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str, logarithmic: bool = False
) -> str:
    """Draw y over x, a line a name. Returns the file's name."""
    with mpl.rc_context(_STYLE):
        figure, panel = _one(5.6, 3.0)
        for number, (name, (xs, ys)) in enumerate(series.items()):
            panel.plot(
                xs,
                ys,
                marker="o",
                markersize=3,
                linewidth=1,
                color=_PARTS[number % 2] if number < 2 else None,
                label=name,
            )
        if logarithmic:
            panel.set_xscale("log")
            panel.set_yscale("log")
        else:
            panel.set_ylim(bottom=0)
        panel.set_xlabel(x)
        panel.set_ylabel(y)
        panel.legend(fontsize=7)
        return _save(figure, path)


def shares(path: Path, values: Sequence[float], x: str) -> str:
    """Draw which share of values is at most x. Returns the file's name."""
    with mpl.rc_context(_STYLE):
        figure, panel = _one(5.6, 2.6)
        finite = np.sort([value for value in values if np.isfinite(value)])
        if len(finite):
            kept = np.unique(np.linspace(0, len(finite) - 1, min(len(finite), 500)).astype(np.int64))
            panel.plot(finite[kept], (kept + 1) / len(values), color=_OWN)
        panel.set_ylim(0, 1.02)
        panel.set_xlim(left=0)
        panel.set_xlabel(x)
        panel.set_ylabel("share of events")
        return _save(figure, path)


def _one(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot(1, 1, 1)


def _save(figure: Figure, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    return path.name

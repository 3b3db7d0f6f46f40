"""Charts as inline SVG, coloured by the page's style sheet. Pure: numbers to markup, all text escaped."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 680, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 28
_TICKS = 4
_MOST_LABELS = 8


@dataclass(frozen=True)
class Line:
    """One series; nan leaves a gap."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True)
class Bar:
    """One bar with its interval, which may be missing."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


def line_chart(title: str, labels: Sequence[str], lines: Sequence[Line], zero: bool = False) -> str:
    """Return a chart of series over the same labels, nothing of one label; with `zero` its axis begins at 0."""
    if len(labels) == 1:
        return ""
    known = [value for line in lines for value in line.values if math.isfinite(value)]
    if not known:
        return _empty(title)
    low, high = (0.0 if zero else min(known)), max(known)
    low, high = (low, high) if high > low else (low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1))
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(labels) - 1)

    def at(place: int, value: float) -> tuple[float, float]:
        return _LEFT + place * step, _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    parts = [_axis(low, high), _marks(labels, step)]
    for number, line in enumerate(lines):
        parts += [_path([at(n, value) for n, value in run], number) for run in _runs(line.values)]
    legend = "".join(f'<span class="key k{number}">{escape(line.name)}</span>' for number, line in enumerate(lines))
    return _figure(title, f'<div class="keys">{legend}</div>' if len(lines) > 1 else "", "".join(parts), HEIGHT)


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return horizontal bars, each with its interval."""
    known = [number for bar in bars for number in (bar.value, bar.high) if number is not None]
    if not known or max(known) <= 0:
        return _empty(title)
    row, name_width, top = 20, 120, max(known)
    scale = (WIDTH - name_width - 120) / top
    parts = []
    for place, bar in enumerate(bars):
        y = place * row + 4
        parts.append(f'<text class="end" x="{name_width - 8}" y="{y + 11}">{escape(bar.name[:20])}</text>')
        if bar.value is None:
            continue
        parts.append(f'<rect class="bar" x="{name_width}" y="{y}" width="{bar.value * scale:.1f}" height="13"/>')
        end = bar.value
        if bar.low is not None and bar.high is not None:
            x, end = [name_width + number * scale for number in (bar.low, bar.high)], max(bar.high, bar.value)
            parts.append(f'<path class="reach" d="M{x[0]:.1f} {y + 6.5}H{x[1]:.1f}"/>')
        said = f"{percent(bar.value)} {bar.note}".strip()
        parts.append(f'<text x="{name_width + end * scale + 6:.1f}" y="{y + 11}">{escape(said)}</text>')
    return _figure(title, "", "".join(parts), len(bars) * row + 8)


def percent(value: float) -> str:
    """Return a share in words."""
    return f"{100 * value:.3g} %"


def number(value: float) -> str:
    """Return a figure in three digits, or whole; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _runs(values: Sequence[float]) -> list[list[tuple[int, float]]]:
    """Return the stretches without a gap, each as (place, value)."""
    runs: list[list[tuple[int, float]]] = [[]]
    for place, value in enumerate(values):
        if math.isfinite(value):
            runs[-1].append((place, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(points: list[tuple[float, float]], number: int) -> str:
    dots = "".join(f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    if len(points) == 1:
        return dots
    way = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="line l{number}" d="M{way}"/>' + (dots if len(points) <= 48 else "")


def _axis(low: float, high: float) -> str:
    parts = []
    for tick in range(_TICKS + 1):
        y = _TOP + (HEIGHT - _TOP - _BOTTOM) * tick / _TICKS
        value = high - (high - low) * tick / _TICKS
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{number(value)}</text>')
    return "".join(parts)


def _marks(labels: Sequence[str], step: float) -> str:
    every = max(1, math.ceil(len(labels) / _MOST_LABELS))
    return "".join(
        f'<text class="middle" x="{_LEFT + place * step:.1f}" y="{HEIGHT - 8}">{escape(label)}</text>'
        for place, label in enumerate(labels)
        if place % every == 0
    )


def _figure(title: str, legend: str, inside: str, height: int) -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption>{legend}<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">{inside}</svg></figure>'
    )


def _empty(title: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption><p>There is nothing to draw yet.</p></figure>"

"""Panels of a dashboard, and where they stand: rows of 24 columns, filled from the left."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
_COLUMNS = 24
_ROW_HEIGHT = 1

Json = dict[str, Any]
Steps = tuple[tuple[float | None, str], ...]


@dataclass(frozen=True)
class Panel:
    """One figure over time, or as it is now.

    `shows` are pairs of an expression and a legend. `healthy` says in words what healthy looks like; `steps` say it in
    numbers: from this value on (None: from the start) this colour.
    """

    title: str
    unit: str
    healthy: str
    shows: tuple[tuple[str, str], ...]
    steps: Steps = ()
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    stacked: bool = False
    decimals: int | None = None
    bounds: tuple[float | None, float | None] = (None, None)


@dataclass(frozen=True)
class Row:
    """A title across the board, and what stands below it."""

    title: str
    panels: tuple[Panel, ...]


def rate(counter: str, by: str = "") -> str:
    """A second's increase of a counter, summed over processes but for the labels in `by`."""
    return f"sum{f' by ({by})' if by else ''} (rate({counter}[$__rate_interval]))"


def share(counter: str, by: str) -> str:
    """The share that each value of the labels in `by` has of a counter's increase."""
    return f"{rate(counter, by)} / ignoring ({by}) group_left {rate(counter)}"


def quantile(at: float, histogram: str, by: str = "", where: str = "") -> str:
    """A quantile of what a histogram saw of late."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({at}, {rate(f'{histogram}_bucket{where}', labels)})"


def good_below(warning: float, critical: float) -> Steps:
    """Green, then yellow from `warning` and red from `critical` on."""
    return ((None, "green"), (warning, "yellow"), (critical, "red"))


def good_above(critical: float, warning: float) -> Steps:
    """Red, then yellow from `critical` and green from `warning` on."""
    return ((None, "red"), (critical, "yellow"), (warning, "green"))


def stat(title: str, unit: str, healthy: str, expr: str, steps: Steps, decimals: int | None = None) -> Panel:
    """One number in its colour: six of them fill a line."""
    return Panel(title, unit, healthy, ((expr, ""),), steps, kind="stat", width=4, height=4, decimals=decimals)


def placed(rows: Iterable[Row]) -> Iterator[Json]:
    """The panels of all rows as Grafana reads them, each in its place."""
    number, y = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": _ROW_HEIGHT}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        x, y, tallest = 0, y + _ROW_HEIGHT, 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _panel(panel: Panel) -> Json:
    targets = [
        {"refId": chr(ord("A") + at), "expr": expr, "legendFormat": legend or "__auto"}
        | ({"format": "heatmap"} if panel.kind == "heatmap" else {})
        | ({"instant": True} if panel.kind == "stat" else {})
        for at, (expr, legend) in enumerate(panel.shows)
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.healthy,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": targets,
    }


def _defaults(panel: Panel) -> Json:
    lowest, highest = panel.bounds
    made: Json = {"unit": panel.unit}
    made |= {} if panel.decimals is None else {"decimals": panel.decimals}
    made |= {} if lowest is None else {"min": lowest}
    made |= {} if highest is None else {"max": highest}
    if panel.steps:
        steps = [{"value": value, "color": color} for value, color in panel.steps]
        made |= {"thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        custom: Json = {"lineWidth": 1, "fillOpacity": 30 if panel.stacked else 0, "showPoints": "never"}
        custom |= {"stacking": {"mode": "normal"}} if panel.stacked else {}
        custom |= {"thresholdsStyle": {"mode": "dashed"}} if panel.steps else {}
        made |= {"custom": custom, "color": {"mode": "palette-classic"}}
    return made


_OPTIONS: dict[str, Json] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "stat": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "heatmap": {"calculate": False, "yAxis": {"unit": "percentunit"}, "color": {"scheme": "Blues"}},
}

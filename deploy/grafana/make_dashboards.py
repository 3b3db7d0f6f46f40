"""Write the dashboards that Grafana is given: `python deploy/grafana/make_dashboards.py [--check]`.

A dashboard is a list of rows of panels (`board_*.py`); the files in `dashboards/` are made of them. `--check` writes
nothing and ends with 1 where a file is not what would be written.
"""

import json
import sys
from pathlib import Path

import board_denoising
import board_service
import board_trainer
from panels import SOURCE, Json, Row, placed

_HERE = Path(__file__).parent / "dashboards"
_FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing"})'
# A version a second would hide the curves, so versions are marks that a reader turns on; going back is always shown.
_MARKS = (
    ("Alerts", _FIRING, "{{alertname}} ({{severity}})", "red", True),
    ("Starts", "changes(process_start_time_seconds[1m]) > 0", "{{job}} {{instance}} started", "orange", True),
    ("Went back to an older version", "resets(winnow_model_version[1m]) > 0", "{{instance}} went back", "purple", True),
    ("Versions taken over", "changes(winnow_model_version[1m]) > 0", "{{instance}} took over", "blue", False),
)


def dashboard(name: str, title: str, about: str, rows: tuple[Row, ...]) -> Json:
    """The whole of one dashboard."""
    marks = [
        {"name": mark, "datasource": SOURCE, "expr": expr, "titleFormat": text, "iconColor": color, "enable": shown}
        | {"hide": False, "step": "60s", "type": "dashboard", "useValueForTime": False}
        for mark, expr, text, color, shown in _MARKS
    ]
    link = {"type": "dashboards", "title": "Winnow", "tags": ["winnow"], "includeVars": False, "keepTime": True}
    return {
        "uid": f"winnow-{name}",
        "title": title,
        "description": about,
        "tags": ["winnow"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [link],
        "annotations": {"list": marks},
        "panels": list(placed(rows)),
    }


def text_of(board: Json) -> str:
    """The file of a dashboard: a line for each panel, so that a change shows where it is."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in board.items() if key != "panels"]
    panels = ",\n".join(f"  {json.dumps(panel)}" for panel in board["panels"])
    return "{\n" + ",\n".join([*lines, f' "panels": [\n{panels}\n ]']) + "\n}\n"


def main() -> int:
    """Write or compare; return the exit status."""
    stale = []
    for board in (board_service, board_trainer, board_denoising):
        name = board.__name__.removeprefix("board_")
        path = _HERE / f"{name}.json"
        text = text_of(dashboard(name, board.TITLE, board.__doc__.strip(), board.ROWS))
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.stderr.write(f"not what make_dashboards.py writes: {', '.join(stale)}; run it without --check\n")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())

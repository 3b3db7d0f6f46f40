"""What the dashboards of `deploy/grafana` promise: as generated, asking what exists, each panel in its place."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metric_names import PROMISED
from tests.test_alerts import ALL_RULES, RECORDED, needs_promtool, recorded, run_promtool, used

GRAFANA = Path(__file__).parents[1] / "deploy/grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"]
MARKS = [mark for board in BOARDS.values() for mark in board["annotations"]["list"]]
ASKED = {target["expr"] for _, panel in PANELS for target in panel["targets"]} | {mark["expr"] for mark in MARKS}
each_board = pytest.mark.parametrize("name", BOARDS)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two places of the grid share a cell."""
    return all(one[a] < other[a] + other[b] and other[a] < one[a] + one[b] for a, b in (("x", "w"), ("y", "h")))


def test_the_files_are_what_their_generator_writes() -> None:
    command = [sys.executable, str(GRAFANA / "make_dashboards.py"), "--check"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def test_there_is_a_dashboard_for_each_who_looks() -> None:
    assert BOARDS.keys() == {"service", "trainer", "denoising"}
    assert {board["uid"] for board in BOARDS.values()} == {f"winnow-{name}" for name in BOARDS}


@each_board
def test_a_dashboard_begins_with_whether_all_is_well(name: str) -> None:
    first, *panels = BOARDS[name]["panels"]
    assert (first["type"], first["title"]) == ("row", "Is it healthy?")
    assert [panel["type"] for panel in panels[:6]] == ["stat"] * 6
    assert {panel["gridPos"]["y"] for panel in panels[:6]} == {1}
    assert all(len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1 for panel in panels[:6])


@each_board
def test_panels_lie_within_the_grid_and_do_not_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    assert not any(overlap(one, other) for one, other in combinations(places, 2))
    numbers = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS])
def test_a_panel_has_a_unit_and_says_what_healthy_looks_like(name: str, panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert len(panel["description"]) > 1
    assert panel["description"].endswith(".")
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)


def test_panels_and_marks_ask_the_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    asked = [panel["datasource"] for _, panel in PANELS] + [mark["datasource"] for mark in MARKS]
    assert {source["uid"] for source in asked} == {source["uid"] for source in sources}


def test_dashboards_ask_only_for_what_is_shown_or_recorded() -> None:
    for expression in ASKED:
        assert used(expression) <= PROMISED, expression
        assert recorded(expression) <= RECORDED, expression


def test_every_metric_stands_in_a_panel_or_in_a_rule() -> None:
    seen = set().union(*map(used, ASKED), *(used(rule["expr"]) for rule in ALL_RULES))
    assert seen >= PROMISED


def test_every_recorded_rule_is_asked_for() -> None:
    seen = set().union(*map(recorded, ASKED), *(recorded(rule["expr"]) for rule in ALL_RULES))
    assert seen == RECORDED


@needs_promtool
def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{at}", "expr": expression.replace("$__rate_interval", "1m")}
        for at, expression in enumerate(sorted(ASKED))
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run_promtool("check", "rules", tmp_path / "panels.yml")

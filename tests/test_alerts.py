"""What the rules of `deploy/prometheus` promise: each alert is explained, is fired by its fault, and by no other.

`deploy/prometheus/check.sh`, a part of `make check`, runs the tests as they are written. Here their faults befall the
healthy loop of `tests/healthy.yml`.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metric_names import HISTOGRAMS, PROMISED

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = [PROMETHEUS / "recording.yml", *sorted((PROMETHEUS / "alerts").glob("*.yml"))]
ALL_RULES: list[dict[str, Any]] = [
    rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}
HEALTHY: dict[str, Any] = yaml.safe_load((PROMETHEUS / "tests/healthy.yml").read_text())["tests"][0]
FAULTS: list[dict[str, Any]] = [
    fault
    for path in sorted((PROMETHEUS / "tests").glob("*.yml"))
    if path.stem != "healthy"
    for fault in yaml.safe_load(path.read_text())["tests"]
]
RUNBOOK = (ROOT / "docs/operations.md").read_text().partition("\n## Alerts\n")[2]
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is a part of Prometheus")
_EVERYTHING = 'count by (alertname) (ALERTS{alertstate="firing"})'


def used(text: str) -> set[str]:
    """The metrics that an expression names, a histogram by its own name."""
    found = {(name, re.sub(r"_(bucket|sum|count)$", "", name)) for name in re.findall(r"\bwinnow_[a-z0-9_]+", text)}
    return {base if base in HISTOGRAMS else name for name, base in found}


def recorded(text: str) -> set[str]:
    """The recorded series that an expression names."""
    return set(re.findall(r"\bwinnow:[a-z0-9_:]+", text))


def told(fault: dict[str, Any]) -> set[str]:
    """The alerts that a fault fires."""
    samples = [sample for check in fault["promql_expr_test"] for sample in check["exp_samples"]]
    return {name for sample in samples for name in re.findall(r'alertname="(\w+)"', sample["labels"])}


def in_a_healthy_loop(fault: dict[str, Any]) -> dict[str, Any]:
    """The test of a fault, with all that it leaves alone as it is in the healthy loop; it must fire no other alert."""
    broken = {series["series"]: series["values"] for series in fault["input_series"]}
    healthy = {line["series"]: re.sub(r"x260\b", "x480", line["values"]) for line in HEALTHY["input_series"]}
    checks = [check | {"expr": _EVERYTHING} for check in fault["promql_expr_test"]]
    series = [{"series": name, "values": values} for name, values in (healthy | broken).items()]
    return fault | {"input_series": series, "promql_expr_test": checks}


def run_promtool(*arguments: str | Path) -> None:
    """Run promtool; what it finds wrong is the failure."""
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_what_it_means_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    (severity,) = alert["labels"].values()
    assert severity in {"page", "ticket"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert alert["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    assert f'| <a id="{name.lower()}"></a>{name} ({severity}) | ' in RUNBOOK


def test_the_runbook_knows_no_other_alerts_and_leaves_no_cell_empty() -> None:
    rows = [line for line in RUNBOOK.splitlines() if line.startswith("| <a id=")]
    assert sorted(re.findall(r"</a>(\w+)", "\n".join(rows))) == sorted(ALERTS)
    assert all(len(cell.strip()) > 1 for row in rows for cell in row.strip("|").split(" | "))
    assert set(re.findall(r"\bWinnow[A-Z]\w+", RUNBOOK)) <= ALERTS.keys()


def test_every_alert_is_fired_by_a_test_that_bears_its_name() -> None:
    assert {fault["name"] for fault in FAULTS} == ALERTS.keys()
    assert all(fault["name"] in told(fault) for fault in FAULTS)


def test_rules_ask_only_for_metrics_that_are_shown_and_for_what_other_rules_record() -> None:
    for rule in ALL_RULES:
        assert used(rule["expr"]) <= PROMISED, rule
        assert recorded(rule["expr"]) <= RECORDED, rule


def test_no_series_of_a_test_is_one_that_nobody_shows() -> None:
    series = [line["series"] for test in (HEALTHY, *FAULTS) for line in test["input_series"]]
    assert set().union(*map(used, series)) <= PROMISED


@needs_promtool
def test_a_fault_in_a_healthy_loop_fires_its_alert_and_no_other(tmp_path: Path) -> None:
    tests = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": "1m",
        "tests": [in_a_healthy_loop(fault) for fault in FAULTS],
    }
    (tmp_path / "faults.yml").write_text(yaml.safe_dump(tests))
    run_promtool("test", "rules", tmp_path / "faults.yml")

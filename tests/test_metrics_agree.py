"""Code, page, docs, dashboards and rules speak of the same metrics, and what is exposed stays small.

That every metric stands in a panel or a rule, and that those ask for no other, stands in `test_dashboards` and
`test_alerts`.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import BaseRoute, Route

from contract.events import Action
from service.acknowledged import TENTH_MS
from service.app import build
from service.observed import versioned
from service.settings import ServiceSettings
from tests.metric_names import HISTOGRAMS, PROMISED
from tests.service.conftest import running_service, until
from trainer.app import make_worker
from trainer.metrics import TrainerMetrics
from trainer.settings import TrainerSettings
from winnow.embedded_log import EmbeddedLog
from winnow.generated_page import write_or_check
from winnow.metrics_page import described, name_of, render

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/metrics.md"
MOST_SERIES = 500  # a process
TELLING = [
    *(path for kind in ("json", "yml", "yaml") for path in sorted((ROOT / "deploy").rglob(f"*.{kind}"))),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
]
NO_UNIT = {
    "winnow_api_keys_up": "yes or no",
    "winnow_console_streams": "a count of what is open",
    "winnow_dead_letters_kept": "a count of letters",
    "winnow_log_entries": "entries are the unit",
    "winnow_log_lag_entries": "entries are the unit",
    "winnow_log_max_entries": "entries are the unit",
    "winnow_log_up": "yes or no",
    "winnow_log_write_ok": "yes or no",
    "winnow_model_fallback": "yes or no",
    "winnow_model_version": "a number that is a name",
    "winnow_trainer_champion_unfit": "yes or no",
    "winnow_trainer_disk_full": "yes or no",
    "winnow_trainer_id_rows": "rows are the unit",
    "winnow_trainer_id_rows_bound": "rows are the unit",
    "winnow_trainer_unreadable_partitions": "partitions are the unit",
    "winnow_trainer_waiting_entries": "entries are the unit",
    "winnow_trainer_window_positives": "a count of events",
    "process_open_fds": "of prometheus_client",
    "process_max_fds": "of prometheus_client",
}
Series = set[tuple[str, frozenset[tuple[str, str]]]]


@dataclass(frozen=True)
class Exposed:
    """What was read from a running service and a trainer that learned from it and published."""

    service: list[Metric]
    trainer: list[Metric]
    text: str

    def of(self, process: str) -> list[Metric]:
        return self.service if process == "service" else self.trainer


@pytest.fixture(scope="module")
def exposed(private_log: EmbeddedLog, tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    home = tmp_path_factory.mktemp("loop")
    with redis.Redis.from_url(private_log.url) as server:
        server.flushall()
    worker = make_worker(settings_of(home, private_log.url))
    worker.attach()
    with running_service(home, private_log.url) as service, httpx.Client(base_url=service.url) as client:
        for batch in range(4):
            sent = client.post("/v1/feedback", json=[event(200 * batch + n) for n in range(200)])
            assert sent.status_code == 202
        acknowledged_ms = time.time_ns() // 1_000_000
        for path in ("/livez", "/nowhere", "/v1/models"):
            client.get(path)
        client.post("/v1/score", json={"user_id": "secret-user-1", "candidates": ["secret-item-1"]})
        until(lambda: not worker.advance() and worker.account.acknowledged_ms > acknowledged_ms + TENTH_MS)
        worker.checkpoint()
        assert worker.publish().promoted
        until(lambda: not client.get("/v1/models").json()["serving"]["fallback"])
        texts = client.get("/metrics").text, generate_latest(worker.metrics.registry).decode()
    service_metrics, trainer_metrics = (list(text_string_to_metric_families(text)) for text in texts)
    return Exposed(service_metrics, trainer_metrics, "".join(texts))


def settings_of(home: Path, log_url: str) -> TrainerSettings:
    """A small trainer that promotes whatever it has learned."""
    policy = home / "policy.toml"
    policy.write_text("max_ece = 1.0\nmax_rate_factor = 1e9\nmax_log_loss_ratio = 1e9\nmax_pseudo_label_share = 1.0\n")
    return TrainerSettings(
        home=home, redis_url=log_url, window_ms=20, user_capacity=500, item_capacity=500, gate_min_events=10,
        gate_policy=policy,
    )  # fmt: skip


def event(number: int) -> dict[str, object]:
    likes = {"actions": [Action.LIKE.value]} if number % 7 == 0 else {}
    about = {"event_id": f"e{number}", "user_id": f"secret-user-{number % 40}", "item_id": f"secret-item-{number % 30}"}
    return about | likes | {"at": 1_650_000_000_000 + number, "watch_ms": 400 * (number % 60), "duration_ms": 20_000}


def series_of(metrics: list[Metric]) -> Series:
    return {(one.name, frozenset(one.labels.items())) for metric in metrics for one in metric.samples}


@pytest.mark.parametrize("process", ["service", "trainer"])
def test_a_running_process_exposes_what_is_described_and_nothing_else(exposed: Exposed, process: str) -> None:
    promised = {(one.name, one.kind, one.meaning) for one in described() if one.process == process}
    assert {(name_of(one), one.type, one.documentation) for one in exposed.of(process)} == promised


def test_the_trainer_has_every_series_from_the_start(exposed: Exposed) -> None:
    assert series_of(exposed.trainer) == series_of(list(TrainerMetrics().registry.collect()))


def test_counters_of_a_loop_that_ran_have_counted(exposed: Exposed) -> None:
    sums: dict[str, float] = {}
    for metric in (*exposed.service, *exposed.trainer):
        for one in metric.samples:
            sums[one.name] = sums.get(one.name, 0.0) + one.value
    assert sums["winnow_feedback_acknowledged_events_total"] == 800
    assert sums["winnow_trainer_actions_total"] == len(range(0, 800, 7))
    assert sums["winnow_acknowledged_to_served_seconds_count"] == 800
    assert sums["winnow_trainer_versions_total"] == 1
    assert sums["winnow_trainer_evidence_total"] == 800


def test_no_id_of_a_user_or_an_item_is_exposed(exposed: Exposed) -> None:
    assert "secret" not in exposed.text


def test_a_name_ends_in_its_unit_or_has_a_reason_not_to() -> None:
    for one in described():
        assert bool(re.search(r"_(seconds|bytes|ratio|total|info)$", one.name)) != (one.name in NO_UNIT), one.name
        assert (one.kind == "counter") == one.name.endswith("_total"), one.name
        assert one.meaning.endswith("."), one.name
    assert NO_UNIT.keys() <= {one.name for one in described()}


def test_a_process_exposes_fewer_series_than_the_bound_whatever_it_is_asked(home: Path) -> None:
    service = build(ServiceSettings(home=home, prove_apart=False))
    metrics = service.door.metrics
    paths = paths_of(service.app.routes) | paths_of(service.admin.routes)
    assert {"/v1/score", "/v1/models/{version}", "/metrics", "/admin/models:rollback"} <= paths
    for path in (*paths, "other"):
        for status in (0, 200, 300, 400, 500):
            metrics.answered_aside(path, status, 0.1)
    for registry in (metrics.registry, TrainerMetrics().registry):
        assert 100 < count_series(registry) < MOST_SERIES


def paths_of(routes: Sequence[BaseRoute]) -> set[str]:
    """The templates of all routes, those of routers that were included too."""
    included = [route.original_router.routes for route in routes if hasattr(route, "original_router")]
    own = {versioned(route.path) for route in routes if isinstance(route, Route)}
    return own.union(*map(paths_of, included))


def count_series(registry: CollectorRegistry) -> int:
    return sum(len(metric.samples) for metric in registry.collect())


def test_the_page_in_the_docs_is_what_the_code_exposes() -> None:
    assert write_or_check(render, ["--check", str(PAGE)]) == 0


@pytest.mark.parametrize("path", TELLING, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_a_panel_and_a_rule_name_only_metrics_that_exist(path: Path) -> None:
    known = PROMISED | {f"{name}{part}" for name in HISTOGRAMS for part in ("_bucket", "_sum", "_count")}
    assert set(re.findall(r"\bwinnow_[a-z0-9_]+\b", path.read_text())) <= known

"""What the files of a deployment promise, read from the files: no Docker, no nginx, no network is needed.

What only a running container shows is checked by `deploy/check-images.sh`. The schema's origin: `schemas/README.md`.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from service.settings import ServiceSettings
from trainer.settings import TrainerSettings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
NGINX = (ROOT / "deploy/nginx.conf").read_text()
UPSTREAM = (ROOT / "deploy/nginx/upstream-compose.conf").read_text()
PROMETHEUS: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
OURS = ["service-1", "service-2", "trainer"]


def directive(name: str) -> list[str]:
    """The values nginx.conf gives a directive."""
    return re.findall(rf"^\s*{name}\s+([^;]+);", NGINX + UPSTREAM, re.MULTILINE)


def bytes_of(size: str) -> int:
    """Bytes of an nginx size."""
    return int(size[:-1]) * {"k": 1 << 10, "m": 1 << 20}[size[-1]]


def seconds_of(time: str) -> float:
    """Seconds of a Compose or nginx time."""
    return float(time.removesuffix("s"))


def stage(name: str) -> str:
    """One stage of the Dockerfile, comments left out."""
    code = "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#"))
    return next(part for part in re.split(r"^FROM ", code, flags=re.MULTILINE) if f" AS {name}\n" in part)


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/schemas/compose_spec.json").read_text())
    Draft201909Validator(schema).validate(COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_read_only_without_capabilities_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert service["mem_limit"]
    assert service["pids_limit"]


def test_redis_cannot_be_reached_from_outside_and_keeps_what_it_acknowledged() -> None:
    redis = SERVICES["redis"]
    assert "ports" not in redis
    assert all(COMPOSE["networks"][network]["internal"] for network in redis["networks"])
    options = " ".join(redis["command"])
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in options
    assert any(volume.endswith(":/data") for volume in redis["volumes"])


def test_only_nginx_and_the_three_desks_are_published_and_to_this_host_alone() -> None:
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", [])}
    assert published.keys() == {"nginx", "prometheus", "grafana", "console"}
    assert all(port.startswith(("127.0.0.1:", "${WINNOW_BIND:-127.0.0.1}:")) for port in published.values())


def test_grafana_has_no_default_password_and_no_anonymous_reader() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert re.fullmatch(r"\$\{GRAFANA_ADMIN_PASSWORD:\?[^}]+\}", environment["GF_SECURITY_ADMIN_PASSWORD"])
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


def test_services_read_the_registry_that_the_trainer_writes() -> None:
    assert "registry:/var/lib/winnow/registry" in SERVICES["trainer"]["volumes"]
    for name in ("service-1", "service-2"):
        assert SERVICES[name]["volumes"] == ["registry:/var/lib/winnow/registry:ro"]


def test_the_console_has_a_container_of_its_own_that_changes_nothing() -> None:
    console = SERVICES["console"]
    assert (console["image"], console["command"]) == (SERVICES["trainer"]["image"], ["serve"])  # it has pyarrow
    assert all(volume.endswith(":ro") for volume in console["volumes"])
    assert {volume.split(":")[0] for volume in console["volumes"]} == {"state", "registry"}
    assert "WINNOW_ADMIN_PORT" not in console["environment"]
    assert {f"WINNOW_{field.upper()}" for field in ServiceSettings.model_fields} >= console["environment"].keys()
    assert "console" not in UPSTREAM
    assert SERVICES["service-1"]["environment"]["WINNOW_CONSOLE"] == "false"


def test_what_must_be_up_first_is_waited_for() -> None:
    conditions = {name: SERVICES[name]["depends_on"] for name in ("nginx", "trainer", "service-1")}
    assert conditions["nginx"]["service-1"] == conditions["nginx"]["service-2"] == {"condition": "service_healthy"}
    assert conditions["trainer"]["redis"] == {"condition": "service_healthy"}
    assert "trainer" not in conditions["service-1"]  # scoring goes on without one


@pytest.mark.parametrize("name", OURS)
def test_every_winnow_variable_of_a_container_is_a_setting(name: str) -> None:
    settings = TrainerSettings if name == "trainer" else ServiceSettings
    known = {f"WINNOW_{field.upper()}" for field in settings.model_fields}
    in_image = re.findall(r"\b(WINNOW_[A-Z_]+)=", stage("trainer" if name == "trainer" else "service"))
    assert {*SERVICES[name]["environment"], *in_image} <= known


def test_containers_are_given_longer_to_stop_than_their_process_takes() -> None:
    drain_s = ServiceSettings.model_fields["drain_timeout_s"].default
    assert seconds_of(SERVICES["service-1"]["stop_grace_period"]) > drain_s
    assert seconds_of(SERVICES["trainer"]["stop_grace_period"]) >= 60


def test_the_images_run_as_a_user_without_rights_and_start_in_exec_form() -> None:
    runtime = stage("runtime")
    assert "\nUSER 10001:10001\n" in runtime
    assert "\nSTOPSIGNAL SIGTERM\n" in runtime
    assert '\nENTRYPOINT ["winnow"]\n' in runtime
    for name, command in (("service", "serve"), ("trainer", "train")):
        assert f'\nCMD ["{command}"]' in stage(name)
        assert "\nHEALTHCHECK " in stage(name)
        assert "\nUSER" not in stage(name)


def test_the_service_image_is_built_without_the_training_dependencies() -> None:
    for name in ("dependencies", "service-build", "service"):
        assert "[train]" not in stage(name)
        assert "torch" not in stage(name)


def test_a_build_without_arguments_refuses_a_cuda_torch() -> None:
    build = stage("trainer-build")
    assert "ARG TORCH_VARIANT=cpu\n" in build
    pattern = re.search(r"grep -qE '([^']+)'", build)
    assert pattern
    assert re.search(pattern[1], '"name": "nvidia-cublas"')
    assert re.search(pattern[1], '"name": "cuda-toolkit"')
    assert not re.search(pattern[1], '"name": "torch"')


def test_nothing_in_an_image_reports_home() -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in stage("runtime")
    assert SERVICES["grafana"]["environment"]["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


def test_no_registry_is_named_so_that_any_mirror_can_serve_the_build() -> None:
    addresses = re.findall(r"https?://([^/:{\"'\s]+)", DOCKERFILE)
    assert set(addresses) <= {"127.0.0.1"}
    for image in (service["image"] for service in SERVICES.values()):
        first = image.split("/")[0] if "/" in image else ""
        assert "." not in first
        assert ":" not in first


def test_only_what_the_images_are_made_of_reaches_the_build() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    packages = {"benchmarks", "contract", "models", "service", "trainer", "winnow"}
    assert {line[1:] for line in lines if line.startswith("!")} == packages | {
        "LICENSE",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
    }


def test_nginx_puts_a_deadline_on_every_part_of_a_request() -> None:
    for name in ("client_header_timeout", "client_body_timeout", "send_timeout"):
        assert [seconds_of(value) for value in directive(name)] == [5]
    for name in ("proxy_connect_timeout", "proxy_send_timeout", "proxy_read_timeout"):
        (value,) = directive(name)
        assert 0 < seconds_of(value) <= 5


def test_nginx_takes_bodies_as_large_as_the_service_does_and_does_not_hold_them_in_memory() -> None:
    (largest,) = directive("client_max_body_size")
    assert bytes_of(largest) == ServiceSettings.model_fields["max_body_bytes"].default
    (in_memory,) = directive("client_body_buffer_size")
    assert bytes_of(in_memory) <= 64 << 10


def test_nginx_spreads_over_both_replicas_and_asks_both_before_it_gives_up() -> None:
    servers = directive("server")
    for name in ("service-1", "service-2"):
        port = SERVICES[name]["environment"]["WINNOW_PORT"]
        assert [server for server in servers if server.startswith(f"{name}:{port} ") and "backup" not in server]
        assert [server for server in servers if server.startswith(f"{name}:{port} ") and "backup" in server]
    (tries,) = directive("proxy_next_upstream_tries")
    assert int(tries) >= 2


def test_nginx_repeats_a_broken_request_but_never_one_that_was_shed() -> None:
    (reasons,) = directive("proxy_next_upstream")
    assert set(reasons.split()) == {"error", "timeout", "non_idempotent"}


def test_nginx_lets_go_of_an_idle_connection_before_the_service_does() -> None:
    for name in ("compose", "local"):
        text = (ROOT / f"deploy/nginx/upstream-{name}.conf").read_text()
        upstream = re.search(r"upstream winnow \{.*?keepalive_timeout (\d+)s", text, re.DOTALL)
        assert upstream
        assert int(upstream[1]) < ServiceSettings.model_fields["keep_alive_s"].default


def test_compose_gives_nginx_the_file_that_names_its_replicas() -> None:
    assert directive("include") == ["upstream.conf"]
    assert "./deploy/nginx/upstream-compose.conf:/etc/nginx/upstream.conf:ro" in SERVICES["nginx"]["volumes"]
    assert "resolve" not in (ROOT / "deploy/nginx/upstream-local.conf").read_text().split("\n", 1)[1]


def test_metrics_are_not_served_to_callers() -> None:
    assert re.search(r"location = /metrics \{\s*return 404;", NGINX)


def test_prometheus_scrapes_each_service_and_the_trainer() -> None:
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"]}
    assert targets["service"] == [f"{name}:{SERVICES[name]['environment']['WINNOW_PORT']}" for name in OURS[:2]]
    assert targets["trainer"] == [f"trainer:{SERVICES['trainer']['environment']['WINNOW_TRAINER_METRICS_PORT']}"]
    for name in (*OURS, "grafana"):
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])


def test_prometheus_finds_its_configuration_and_rules() -> None:
    assert "./deploy/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in SERVICES["prometheus"]["command"]
    found = {path for pattern in PROMETHEUS["rule_files"] for path in (ROOT / "deploy/prometheus").glob(pattern)}
    assert {path.name for path in found} == {"recording.yml", "service.yml", "log.yml", "trainer.yml", "models.yml"}


def test_grafana_finds_its_dashboards_and_opens_on_the_service() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/winnow.yml").read_text())["providers"]
    path = provider["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in SERVICES["grafana"]["volumes"]
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{path}/service.json"
    assert (ROOT / "deploy/grafana/dashboards/service.json").exists()

"""Who may do what where, and on which addresses a service may listen without keys."""

from pathlib import Path

import pytest

from contract.api_keys import Role
from contract.errors import SetupError
from service.access import ANY_KEY, OPEN, check_exposure, is_loopback, needed_for, needed_for_admin
from service.app import create_app, serve
from service.settings import ServiceSettings


def test_every_documented_route_has_the_role_it_is_meant_for(settings: ServiceSettings) -> None:
    score, both = frozenset({Role.SCORE}), frozenset({Role.SCORE, Role.ADMIN})
    assert {path: needed_for(path) for path in create_app(settings).openapi()["paths"]} == {
        "/livez": OPEN,
        "/readyz": OPEN,
        "/metrics": frozenset({Role.METRICS}),
        "/v1/feedback": frozenset({Role.FEEDBACK}),
        "/v1/feedback/{event_id}": frozenset({Role.FEEDBACK}),
        "/v1/labels": score,
        "/v1/models": both,
        "/v1/models/{version}": both,
        "/v1/score": score,
        "/v1/score:batch": score,
    }


@pytest.mark.parametrize("path", ["/openapi.json", "/new", "/", "", "/livez/", "/LIVEZ", "/v1/score/"])
def test_a_path_that_nothing_is_said_about_needs_a_key(path: str) -> None:
    assert needed_for(path) == ANY_KEY


@pytest.mark.parametrize("path", ["/v2", "/v2/models/winnow/infer", "/v2/health/ready/x"])
def test_tensors_are_scores(path: str) -> None:
    assert needed_for(path) == frozenset({Role.SCORE})


def test_everything_on_the_admin_port_but_its_probe_needs_a_role() -> None:
    assert needed_for_admin("/livez") is OPEN
    assert needed_for_admin("/metrics") == frozenset({Role.METRICS, Role.ADMIN})
    assert needed_for_admin("/whatever") == frozenset({Role.ADMIN})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_without_keys_nobody_else_is_listened_to_unless_that_is_said(home: Path) -> None:
    with pytest.raises(SetupError, match=r"WINNOW_HOST is 0\.0\.0\.0.*winnow keys new.*WINNOW_ALLOW_ANONYMOUS=true"):
        serve(ServiceSettings(home=home, host="0.0.0.0", port=0))
    check_exposure(ServiceSettings(home=home, host="0.0.0.0", allow_anonymous=True))
    check_exposure(ServiceSettings(home=home, host="0.0.0.0", api_keys_file=home / "keys.json"))


def test_without_keys_the_admin_port_stays_on_this_machine_whatever_is_said(home: Path) -> None:
    with pytest.raises(SetupError, match=r"WINNOW_ADMIN_HOST is 0\.0\.0\.0"):
        check_exposure(ServiceSettings(home=home, allow_anonymous=True, admin_host="0.0.0.0", admin_port=0))

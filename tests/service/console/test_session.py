"""Who may see what the console shows, and who may change things there."""

from pathlib import Path

from contract.api_keys import Role, new_key, write_keys
from service.settings import ServiceSettings
from tests.service.console.ports import ADMIN_URL, Ports, ports_of

SESSION = "/console/api/session"


def test_without_keys_this_machine_may_look_on_one_port_and_change_on_the_other(ports: Ports) -> None:
    answer = ports.callers.get(SESSION).json()
    assert (answer["may_change"], answer["keys"], answer["admin_url"], answer["hashed"]) == (
        False,
        False,
        ADMIN_URL,
        "none",
    )
    assert ports.admin.get(SESSION).json()["may_change"]


def test_without_keys_a_name_that_a_page_brought_is_refused(settings: ServiceSettings) -> None:
    with ports_of(settings, "rebound.example") as ports:
        assert (ports.callers.get(SESSION).status_code, ports.admin.get(SESSION).status_code) == (403, 403)
        assert ports.callers.get("/console").status_code == 200
    with ports_of(settings.model_copy(update={"allow_anonymous": True}), "rebound.example") as ports:
        assert (ports.callers.get(SESSION).status_code, ports.admin.get(SESSION).status_code) == (200, 403)


def test_with_keys_the_console_role_looks_and_the_admin_role_changes(settings: ServiceSettings, tmp_path: Path) -> None:
    keys = {role: new_key([role], role) for role in Role}
    write_keys(tmp_path / "keys.json", [entry for _, entry in keys.values()])
    with ports_of(settings.model_copy(update={"api_keys_file": tmp_path / "keys.json"}), "any.example") as ports:
        assert ports.callers.get(SESSION).status_code == 401
        assert ports.callers.get("/console").status_code == 200
        for role, (key, _) in keys.items():
            expected = 200 if role in (Role.CONSOLE, Role.ADMIN) else 403
            for client in (ports.callers, ports.admin):
                assert client.get(SESSION, {"authorization": f"Bearer {key}"}).status_code == expected, role
            if expected == 200:
                answer = ports.admin.get(SESSION, {"authorization": f"Bearer {key}"}).json()
                assert (answer["may_change"], answer["keys"]) == (role == Role.ADMIN, True)


def test_the_session_says_whether_the_label_log_is_at_hand(settings: ServiceSettings, ports: Ports) -> None:
    assert "no label log in this home" in ports.callers.get(SESSION).json()["labels"]["why"]
    (settings.home / "labels").mkdir()
    assert ports.callers.get(SESSION).json()["labels"] == {"available": True, "why": None}

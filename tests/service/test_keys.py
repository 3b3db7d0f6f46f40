"""API keys at the door: who is let in, who is not, and that nobody learns or loses anything by it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException

from contract.api_keys import ApiKey, KeyLimits, Role, new_key, write_keys
from contract.errors import SetupError
from service.keys import KeyRing
from service.metrics import Metrics
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, running_service, until

SCORE = {"user_id": "u1", "candidates": ["v1"]}
EVENT = {"event_id": "e1", "user_id": "u1", "item_id": "v1", "at": 1795593600000, "watch_ms": 4200}
MADE = {role: new_key([role], role) for role in Role}
KEYS = {role: key for role, (key, _) in MADE.items()}
ROUTES: list[tuple[str, str, object, set[Role]]] = [
    ("POST", "/v1/score", SCORE, {Role.SCORE}),
    ("POST", "/score", SCORE, {Role.SCORE}),
    ("POST", "/v1/labels", [EVENT], {Role.SCORE}),
    ("POST", "/v1/feedback", EVENT, {Role.FEEDBACK}),
    ("GET", "/v1/models", None, {Role.SCORE, Role.ADMIN}),
    ("GET", "/v2/models/winnow", None, {Role.SCORE}),
    ("GET", "/metrics", None, {Role.METRICS}),
    ("GET", "/openapi.json", None, set(Role)),
]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def send(client: Client, method: str, path: str, body: object, headers: dict[str, str] | None) -> int:
    if method == "GET":
        return client.get(path, headers).status_code
    return client.post(path, json=body, headers=headers).status_code


def keys_file(home: Path, *entries: ApiKey) -> Path:
    path = home / "keys.json"
    write_keys(path, entries)
    return path


@pytest.fixture
def locked(settings: ServiceSettings) -> Iterator[Client]:
    """A service with one key for each role."""
    file = keys_file(settings.home, *(entry for _, entry in MADE.values()))
    with client_of(settings.model_copy(update={"api_keys_file": file, "api_keys_poll_s": 0.01})) as client:
        yield client


@pytest.mark.parametrize(("method", "path", "body", "roles"), ROUTES, ids=[route[1] for route in ROUTES])
def test_a_route_is_for_its_roles_only(locked: Client, method: str, path: str, body: object, roles: set[Role]) -> None:
    assert send(locked, method, path, body, None) == 401
    for role, key in KEYS.items():
        status = send(locked, method, path, body, bearer(key))
        assert (status in (200, 202)) is (role in roles), (role, status)
        assert status in (200, 202, 403)
        assert send(locked, method, path, body, {"x-api-key": key}) == status


def test_probes_are_open_and_what_does_not_exist_is_closed(locked: Client) -> None:
    for path in ("/livez", "/readyz", "/v2/health/ready"):
        assert locked.get(path).status_code == 200
    assert locked.get("/admin/models:rollback").status_code == 401
    assert locked.get("/admin/models:rollback", bearer(KEYS[Role.ADMIN])).status_code == 404


def test_every_way_not_to_have_a_key_is_answered_the_same(locked: Client) -> None:
    good = KEYS[Role.SCORE]
    other, _ = new_key([Role.SCORE], "x")
    wrong_secret = good[:-2] + ("AA" if good[-2:] != "AA" else "BB")
    headers = [{}, bearer(""), bearer(other), bearer(wrong_secret), bearer("x" * 9_000), {"authorization": good}]
    headers += [{"authorization": f"Basic {good}"}, {"x-api-key": good + " x"}, {"cookie": f"key={good}"}]
    answers = [locked.post("/v1/score", json=SCORE, headers=one) for one in headers]
    answers.append(locked.post(f"/v1/score?api_key={good}&key={good}", json=SCORE))
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="winnow"'}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert not [answer for answer in answers if good in answer.text]


def test_an_unknown_id_is_compared_like_a_known_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # That both take the same time is no unit test; that both do the same is.
    compared: list[tuple[int, int]] = []

    def noting(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr("service.keys.hmac.compare_digest", noting)
    ring = KeyRing(ServiceSettings(home=home, api_keys_file=keys_file(home, MADE[Role.SCORE][1])), Metrics())
    for given in (KEYS[Role.SCORE], KEYS[Role.ADMIN], "nonsense", ""):
        with suppress(HTTPException):
            ring.admit({b"x-api-key": given.encode()}, frozenset({Role.SCORE}))
    assert compared == [(32, 32)] * 4


def test_an_expired_key_is_no_key(home: Path) -> None:
    key, entry = new_key([Role.SCORE], "x", timedelta(seconds=-1))
    with client_of(ServiceSettings(home=home, api_keys_file=keys_file(home, entry))) as client:
        assert client.post("/v1/score", json=SCORE, headers=bearer(key)).status_code == 401


def test_keys_are_rotated_without_a_restart_and_a_broken_file_changes_nothing(locked: Client, home: Path) -> None:
    def status(key: str) -> int:
        return locked.post("/v1/score", json=SCORE, headers=bearer(key)).status_code

    def keys_up() -> str:
        text = locked.get("/metrics", bearer(KEYS[Role.METRICS])).text
        return next(line for line in text.splitlines() if line.startswith("winnow_api_keys_up "))

    file, (_, old_entry), (_, metrics_entry) = home / "keys.json", MADE[Role.SCORE], MADE[Role.METRICS]
    new, new_entry = new_key([Role.SCORE], "new")
    write_keys(file, [old_entry, new_entry, metrics_entry])
    until(lambda: status(new) == 200)
    assert status(KEYS[Role.SCORE]) == 200  # both live
    file.write_text("{")
    until(lambda: keys_up() == "winnow_api_keys_up 0.0")
    assert (status(new), status(KEYS[Role.SCORE])) == (200, 200)
    file.unlink()
    write_keys(file, [new_entry, metrics_entry])
    until(lambda: status(KEYS[Role.SCORE]) == 401)
    assert (status(new), keys_up()) == (200, "winnow_api_keys_up 1.0")


def test_to_touch_the_file_fills_no_bucket(home: Path) -> None:
    key, entry = new_key([Role.SCORE], "x", limits=KeyLimits(requests_per_s=0.001))
    file = keys_file(home, entry)
    ring = KeyRing(ServiceSettings(home=home, api_keys_file=file), Metrics())
    headers, needed = {b"x-api-key": key.encode()}, frozenset({Role.SCORE})
    ring.admit(headers, needed)
    write_keys(file, [entry])
    asyncio.run(ring.look())
    with pytest.raises(Exception, match="more than") as refused:
        ring.admit(headers, needed)
    assert refused.value.status_code == 429  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", ["", '{"keys": 1}'])
def test_a_service_does_not_start_on_a_broken_file(home: Path, content: str) -> None:
    file = home / "keys.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(SetupError, match="damaged"):
        KeyRing(ServiceSettings(home=home, api_keys_file=file), Metrics())


def test_above_its_rate_a_key_gets_429_with_the_time_to_wait_and_others_get_answers(home: Path) -> None:
    (slow, slow_entry), (other, other_entry) = (
        new_key([Role.SCORE], "slow", limits=KeyLimits(requests_per_s=0.2)),
        new_key([Role.SCORE], "other"),
    )
    file = keys_file(home, slow_entry, other_entry)
    with client_of(ServiceSettings(home=home, api_keys_file=file)) as client:
        statuses = [client.post("/v1/score", json=SCORE, headers=bearer(slow)) for _ in range(2)]
        assert [answer.status_code for answer in statuses] == [200, 429]
        assert 1 <= int(statuses[1].headers["retry-after"]) <= 5
        assert statuses[1].headers["content-type"] == "application/problem+json"
        assert client.post("/v1/score", json=SCORE, headers=bearer(other)).status_code == 200
        assert client.get("/livez", bearer(slow)).status_code == 200


def test_events_are_bounded_by_key_and_by_user_and_a_refused_batch_is_stored_nowhere(settings: ServiceSettings) -> None:
    bounds = {"anonymous_events_per_s": 5.0, "user_events_per_minute": 3}
    with client_of(settings.model_copy(update=bounds)) as client:
        flood = [EVENT | {"event_id": f"f{number}"} for number in range(4)]
        refused = client.post("/v1/feedback", json=flood)
        assert (refused.status_code, "events.3" in refused.json()["detail"]) == (429, True)
        crowd = [EVENT | {"event_id": f"c{number}", "user_id": f"c{number}"} for number in range(10)]
        assert client.post("/v1/feedback", json=crowd).status_code == 202  # over the rate, and paid for by waiting
        late = client.post("/v1/feedback", json=EVENT | {"user_id": "z"})
        assert (late.status_code, int(late.headers["retry-after"])) == (429, 2)
        assert "winnow_feedback_acknowledged_events_total 10.0" in client.get("/metrics").text


def test_a_key_is_nowhere_in_the_log_the_answers_or_the_metrics(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    key, entry = new_key([Role.SCORE, Role.METRICS], "x")
    file = keys_file(home, entry)
    with (
        running_service(home, api_keys_file=str(file), log_level="debug") as service,
        httpx.Client(base_url=service.url, headers=bearer(key), timeout=30) as http,
    ):
        answers = [http.post("/v1/score", json=SCORE), http.post("/v1/score", content=b"{")]
        answers += [http.post("/v1/feedback", json=EVENT), http.get("/metrics"), http.get("/v2/x")]
    assert [answer.status_code for answer in answers] == [200, 400, 403, 200, 404]
    said = "".join(capfd.readouterr()) + "".join(answer.text + str(answer.headers) for answer in answers)
    assert "service_started" in said
    assert key.split("_", 2)[2] not in said
    assert entry.sha256 not in said

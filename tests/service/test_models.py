"""GET /v1/models shows the registry and what this process made of it."""

from contract.api import ModelsResponse
from contract.manifest import Manifest
from contract.registry import Registry
from tests.service.conftest import Client, serving, until
from tests.versions import promote_version, stage_version, write_version


def models(client: Client) -> ModelsResponse:
    return ModelsResponse.model_validate_json(client.get("/v1/models").content)


def test_before_the_first_version_there_is_only_the_prior(client: Client) -> None:
    answer = models(client)
    assert (answer.serving.version, answer.versions, answer.served, answer.pinned) == ("prior", [], [], False)


def test_every_version_is_listed_newest_first_with_its_state(registry: Registry, client: Client) -> None:
    first, _ = promote_version(registry, seed=1)
    second, _ = stage_version(registry, seed=2)
    staging = registry.new_staging()
    write_version(staging)
    third = registry.stage(staging, quarantine=True)
    until(lambda: serving(client) == first)
    answer = models(client)
    assert [(one.version, one.state) for one in answer.versions] == [
        (third, "quarantined"),
        (second, "candidate"),
        (first, "champion"),
    ]
    assert [one.version for one in answer.served] == [first]


def test_a_refused_version_is_shown_with_its_reason_and_a_pin_is_shown(registry: Registry, client: Client) -> None:
    version, _ = stage_version(registry)
    (registry.path(version) / "items.terms.bin").write_bytes(b"\x00" * 32)
    registry.pin(version, "a test")
    until(lambda: version in models(client).refused)
    assert "sha256 of items.terms.bin" in models(client).refused[version]
    assert models(client).pinned


def test_a_manifest_is_answered_whole(registry: Registry, client: Client) -> None:
    version, _ = stage_version(registry)
    assert Manifest.model_validate_json(client.get(f"/v1/models/{version}").content) == registry.manifest(version)


def test_an_unknown_version_is_a_404_that_repeats_nothing(client: Client) -> None:
    for asked in ("000042", "s3cr3t", "..", "%2e%2e%2fetc", "prior"):
        response = client.get(f"/v1/models/{asked}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        assert "s3cr3t" not in response.text
        assert "etc" not in response.text

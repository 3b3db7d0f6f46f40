"""Models in the console: what there is, what changed, and how two versions differ."""

import numpy as np
import pytest

from contract.registry import Registry
from service.console.opened import spearman
from tests.service.console.ports import Ports
from tests.versions import promote_version, stage_version

MODELS = "/console/api/models"


def test_every_version_and_every_change_is_shown_newest_first(ports: Ports, registry: Registry) -> None:
    first, _ = promote_version(registry, seed=1)
    second, _ = stage_version(registry, seed=2)
    registry.quarantine(second)
    registry.pin(first, "hold", who="admin key 5f0c")
    found = ports.callers.get(MODELS).json()
    assert [(each["version"], each["state"]) for each in found["versions"]] == [
        (second, "quarantined"),
        (first, "champion"),
    ]
    assert [(each["act"], each["who"]) for each in found["history"]] == [
        ("pin", "admin key 5f0c"),
        ("promote", "trainer"),
    ]
    assert found["champion"] == found["history"][0]
    manifest = registry.manifest(first)
    shown = found["versions"][1]
    assert (shown["events"], shown["backbone"], shown["gates"]) == (manifest.trained_through.events, "gmf", None)
    assert shown["bytes"] == sum(file.bytes for file in manifest.files.values())
    assert found["refused"] == {}


def test_an_empty_registry_is_shown_as_one(ports: Ports) -> None:
    assert ports.callers.get(MODELS).json() == {
        "serving": "prior",
        "refused": {},
        "champion": None,
        "versions": [],
        "history": [],
    }


def test_two_versions_are_compared_on_recent_pairs(labelled: Ports, registry: Registry) -> None:
    (a, _), (b, _) = (stage_version(registry, seed=seed) for seed in (1, 2))
    found = labelled.callers.get(f"{MODELS}/compare?a={a}&b={b}").json()
    assert (found["a"]["version"], found["b"]["version"], found["pairs"]) == (a, b, 500)
    assert -1 <= found["spearman"] <= 1
    moved = [abs(each["score_a"] - each["score_b"]) for each in found["moved"]]
    assert moved == sorted(moved, reverse=True)
    same = labelled.callers.get(f"{MODELS}/compare?a={a}&b={a}").json()
    assert (same["spearman"], same["mean_abs_difference"], same["label_changes"]) == (pytest.approx(1), 0, 0)


def test_without_labels_versions_are_compared_by_their_figures_only(ports: Ports, registry: Registry) -> None:
    version, _ = stage_version(registry)
    found = ports.callers.get(f"{MODELS}/compare?a={version}&b={version}").json()
    assert (found["pairs"], found["spearman"], found["moved"]) == (0, None, [])


def test_what_cannot_be_compared_says_why(ports: Ports, registry: Registry) -> None:
    version, _ = stage_version(registry)
    (registry.path(version) / "items.terms.bin").write_bytes(b"\x00" * 32)
    damaged = ports.callers.get(f"{MODELS}/compare?a={version}&b={version}")
    assert damaged.status_code == 409
    assert "sha256 of items.terms.bin" in damaged.json()["detail"]
    assert ports.callers.get(f"{MODELS}/compare?a={version}&b=000099").status_code == 404
    for bad in ("a=1", "a=..&b=..", "a=1&b=%00", "a=1&b=2&c=3"):
        assert ports.callers.get(f"{MODELS}/compare?{bad}").status_code == 422


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([1, 2, 3], [10, 20, 30], 1.0), ([1, 2, 3], [3, 2, 1], -1.0), ([1, 1, 1], [1, 2, 3], None), ([1], [1], None)],
)
def test_ranks_are_correlated_and_a_constant_says_nothing(
    first: list[float], second: list[float], expected: float | None
) -> None:
    found = spearman(np.array(first, float), np.array(second, float))
    assert found == (None if expected is None else pytest.approx(expected))

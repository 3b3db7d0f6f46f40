"""`winnow models`: an operator looks at versions and chooses which one is served."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.judgement import GateFigure, GateFigures, write_judgement
from contract.registry import Registry
from tests.versions import digest_again, promote_version, stage_version
from winnow.models_command import app


@pytest.fixture
def registry(home: Path) -> Registry:
    """Two versions, the second the champion."""
    registry = Registry(home / "registry")
    for seed in (1, 2):
        promote_version(registry, seed=seed)
    return registry


def run(home: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_rollback_goes_to_the_version_before_and_pins_it(home: Path, registry: Registry) -> None:
    assert "champion is 000001 (pinned), in place of 000002" in run(home, "rollback", "--why", "it was worse")
    champion = registry.champion()
    assert champion is not None
    assert (champion.version, champion.pinned, champion.why) == ("000001", True, "it was worse")
    assert "champion, pinned" in run(home, "list")


def test_unpinning_lets_versions_be_promoted_again(home: Path, registry: Registry) -> None:
    run(home, "pin", "000001")
    refused = CliRunner().invoke(app, ["promote", "000002", "--home", str(home)])
    assert refused.exit_code == 2
    assert "pinned" in refused.stderr
    run(home, "unpin")
    run(home, "promote", "000002")
    champion = registry.champion()
    assert champion is not None
    assert champion.version == "000002"


def test_a_version_that_differs_from_its_manifest_cannot_be_promoted(home: Path, registry: Registry) -> None:
    assert "files are what the manifest says" in run(home, "verify", "000001")
    table = registry.path("000001") / "items.terms.bin"
    table.write_bytes(bytes([table.read_bytes()[0] ^ 1]) + table.read_bytes()[1:])
    refused = CliRunner().invoke(app, ["promote", "000001", "--home", str(home)])
    assert refused.exit_code == 2
    assert "sha256 of items.terms.bin differs" in refused.stderr


def test_verifying_replays_the_probe_and_moves_what_fails_out_of_reach(home: Path, registry: Registry) -> None:
    bad, _ = stage_version(registry, seed=3)
    table = registry.path(bad) / "items.terms.bin"
    (np.fromfile(table, "<f4") + np.float32(0.01)).tofile(table)
    digest_again(registry.path(bad))
    found = CliRunner().invoke(app, ["verify", "--all", "--quarantine", "--home", str(home)])
    assert found.exit_code == 1
    assert "logit is 0.01 away from the probe" in found.stderr
    assert (registry.versions(), registry.quarantined()) == (["000001", "000002"], [bad])
    assert "the probe holds" in run(home, "verify", "--all")


def test_the_history_names_who_did_what(home: Path, registry: Registry) -> None:
    run(home, "rollback", "--to", "000001", "--why", "it was worse")
    (*_, last) = registry.history()
    assert (last.act, last.replaced, last.why) == ("rollback", "000002", "it was worse")
    assert "@" in last.who
    assert "rollback" in run(home, "history")


def test_the_gates_in_force_are_printed_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "gates.toml").write_text("max_ece = 0.125")
    done = CliRunner().invoke(app, ["gates", "--policy", str(tmp_path / "gates.toml")])
    assert done.exit_code == 0, done.output
    assert "max_ece = 0.125  # at least 0, at most 1; HOLD" in done.stdout
    assert "min_events = 1000" in done.stdout
    (tmp_path / "gates.toml").write_text("max_ecce = 0.125")
    refused = CliRunner().invoke(app, ["gates", "--policy", str(tmp_path / "gates.toml")])
    assert refused.exit_code == 2
    assert "there is no bound 'max_ecce'" in refused.stderr


def test_show_prints_what_each_gate_said(home: Path, registry: Registry) -> None:
    told = [
        GateFigure(gate="max_ece", figure=0.2, bound=0.05, verdict="HOLD", holds=False),
        GateFigure(gate="max_auc_drop", figure=None, bound=0.02, verdict="REJECT", holds=True),
    ]
    write_judgement(registry.path("000002"), GateFigures(gates=told))
    rows = [line.split() for line in run(home, "show", "000002", "--gates").splitlines()]
    assert [cell for cell in next(row for row in rows if "max_ece" in row) if cell != "│"] == [
        "max_ece", "0.2", "0.05", "HOLD",
    ]  # fmt: skip
    assert next(row for row in rows if "max_auc_drop" in row)[-2] == "holds"
    older = CliRunner().invoke(app, ["show", "000001", "--gates", "--home", str(home)])
    assert (older.exit_code, "its manifest has the reasons" in older.stderr) == (2, True)

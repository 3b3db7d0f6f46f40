"""The gate's bounds as a file: what it names holds, what is wrong is refused with the remedy."""

from pathlib import Path

import pytest

from contract.errors import SetupError
from trainer.app import make_worker
from trainer.gate_policy import MAX_POLICY_BYTES, policy_lines, read_policy
from trainer.gates import GatePolicy
from trainer.settings import TrainerSettings

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def read(tmp_path: Path, content: str) -> GatePolicy:
    (tmp_path / "gates.toml").write_text(content)
    return read_policy(tmp_path / "gates.toml", 500)


def test_without_a_file_every_bound_is_its_default_but_the_one_that_is_a_setting() -> None:
    assert read_policy(None, 500) == GatePolicy(min_events=500)


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    assert read(tmp_path, "max_ece = 0.1\nmax_bytes = 1000\n") == GatePolicy(
        min_events=500, max_ece=0.1, max_bytes=1000
    )
    assert read(tmp_path, "min_events = 7") == GatePolicy(min_events=7)


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    policy = GatePolicy(min_events=3, max_auc_drop=0.125, max_rate_factor=float("inf"))
    lines = policy_lines(policy)
    assert len(lines) == len(GatePolicy.model_fields)
    assert read(tmp_path, "\n".join(lines)) == policy


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("max_ecce = 0.1", "no bound 'max_ecce'; there are min_events, min_holdout_positives"),
        ("max_ece = 1.5", "max_ece is 1.5, it may be at least 0, at most 1; the default is 0.05"),
        ("max_ece = nan", "max_ece is nan, it may be at least 0"),
        ("max_log_loss_ratio = nan", "max_log_loss_ratio is nan"),
        ('max_ece = "0.1"', "max_ece is 0.1, it may be"),
        ("min_events = 1.5", "min_events is 1.5, it may be whole, at least 0"),
        ("min_events = true", "min_events is True"),
        ("[max_ece]", "max_ece is {}"),
        ("max_ece 0.1", "is not TOML"),
        ("max_ece = 0.1\nmax_ece = 0.2", "is not TOML"),
        ("#" * (MAX_POLICY_BYTES + 1), "has over 65536 bytes"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_remedy(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(SetupError, match=f"gates.toml.*{complaint}"):
        read(tmp_path, content)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"none\.toml cannot be read \(No such file"):
        read_policy(tmp_path / "none.toml", 500)


def test_the_trainer_does_not_start_with_a_policy_that_is_wrong(tmp_path: Path, log_url: str) -> None:
    (tmp_path / "gates.toml").write_text("max_ece = -1")
    settings = TrainerSettings(home=tmp_path, redis_url=log_url, gate_policy=tmp_path / "gates.toml")
    with pytest.raises(SetupError, match="max_ece is -1"):
        make_worker(settings)


@pytest.mark.parametrize("name", GatePolicy.model_fields)
def test_every_bound_stands_in_the_operators_page_with_its_default(name: str) -> None:
    default = GatePolicy.model_fields[name].default
    assert f"| `{name}` | {default:g} |" in OPERATIONS.read_text().replace(f"{2**34:,}", f"{2**34:g}")

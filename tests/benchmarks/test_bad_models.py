"""A few bad versions before a real service; `make chaos` promotes thousands (P4, P6)."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.chaos.bad_models import mutants
from benchmarks.chaos.mutants import MUTATIONS, mutate
from benchmarks.chaos.worse import rejected_share


def test_a_service_that_scores_serves_none_of_the_mutants_of_its_version(tmp_path: Path) -> None:
    outcome = mutants(tmp_path, count=42, redigested=14, seed=1)
    assert outcome.holds, outcome.why
    assert outcome.figures["refused"] == 42
    assert outcome.figures["redigested_refused"] != 0
    told = ("redigested_refused", "redigested_served_alike", "redigested_served_though_answers_differ")
    assert sum(int(str(outcome.figures[name])) for name in told) == 14


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutant_always_differs(tmp_path: Path, mutation: str) -> None:
    content = b"abc" + bytes(40)  # an end of zeros, as tables and indexes have
    random = np.random.default_rng(1)
    for _ in range(50):
        (tmp_path / "file").write_bytes(content)
        mutate(tmp_path / "file", mutation, random)
        assert (tmp_path / "file").read_bytes() != content


def test_the_gate_tells_an_auc_that_is_worse_by_a_twentieth_on_a_thousand_positives() -> None:
    assert rejected_share(positives=1_000, negatives=19_000, drop=0.05, times=40, seed=1) >= 0.95
    assert rejected_share(positives=1_000, negatives=19_000, drop=0.0, times=40, seed=1) == 0

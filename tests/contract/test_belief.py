"""Relevance is the logistic function of logit, watch and evidence, and a version's annotator reads back as written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.belief import BELIEF_FILE, MAX_LLR, Belief, read_belief, relevance, sigmoid, write_belief
from contract.watch import CELLS, DURATION_BUCKETS, SURFACE_CELLS, WATCH_BINS
from tests.contract.tables import each

BELIEF = Belief(
    coefficients=[1.0, -0.4, 0.9, 0.6, -0.1],
    histogram=np.arange(DURATION_BUCKETS * WATCH_BINS, dtype=float).reshape(DURATION_BUCKETS, WATCH_BINS).tolist(),
    cell_llr=np.linspace(-2, 2, CELLS).tolist(),
    surface_llr=np.linspace(-1, 1, SURFACE_CELLS).tolist(),
)
finite = st.floats(-30, 30)


@given(st.lists(finite, min_size=5, max_size=5), finite, finite, finite, finite)
def test_relevance_is_its_equation(a: list[float], y: float, v: float, cell: float, surface: float) -> None:
    found = relevance(np.array(a), np.array([y]), np.array([v]), np.array([[cell, surface]]))
    total = a[0] * y + a[1] * v + a[2] * cell + a[3] * surface + a[4]
    assert found.tolist() == [pytest.approx(1 / (1 + np.exp(np.clip(-total, -700, 700))), abs=1e-12)]


def test_sigmoid_neither_overflows_nor_leaves_its_range() -> None:
    assert sigmoid(np.array([-1e9, -1.0, 0.0, 1e9])).tolist() == [0.0, pytest.approx(1 / (1 + np.e)), 0.5, 1.0]


def test_an_annotator_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_belief(tmp_path, BELIEF)
    assert read_belief(tmp_path) == BELIEF
    tables = read_belief(tmp_path).tables()
    assert tables.histogram.tolist() == BELIEF.histogram
    assert (tables.cell_llr.tolist(), tables.surface_llr.tolist()) == (BELIEF.cell_llr, BELIEF.surface_llr)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *each("coefficients", [1.0] * 4, [1.0] * 6, [float("nan")] * 5, None),
        *each("histogram", BELIEF.histogram[1:], [row[1:] for row in BELIEF.histogram], [[-1.0] * 64] * 21),
        *each("cell_llr", [0.0] * 39, [float("inf")] * 40, [MAX_LLR + 1] * 40),
        *each("surface_llr", [0.0] * 161, [-MAX_LLR - 1] * 160),
        ("more", 1),
    ],
)
def test_an_annotator_of_another_form_is_refused_by_the_name_of_the_field(
    tmp_path: Path, field: str, value: Any
) -> None:
    (tmp_path / BELIEF_FILE).write_text(json.dumps(BELIEF.model_dump() | {field: value}))
    with pytest.raises(ValidationError) as refusal:
        read_belief(tmp_path)
    assert {error["loc"][0] for error in refusal.value.errors() if error["loc"]} <= {field}

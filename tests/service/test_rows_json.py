"""Rows written as bytes say what was to be said, whatever the ids hold."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import service.rows_json
from service.rows_json import FEW, rows_json
from tests.strategies import external_ids

probabilities = st.floats(0, 1, width=32)
rows = st.lists(
    st.tuples(st.one_of(external_ids, st.sampled_from(['"', '\\', 'a"b\\', "v" * 128])), probabilities, probabilities,
              st.booleans(), st.booleans()),
    min_size=1, max_size=40,
)  # fmt: skip


@pytest.mark.parametrize("few", [0, 1_000])
@given(given_rows=rows, data=st.data())
def test_what_is_written_reads_back_in_order_to_the_eighth_decimal(
    few: int, given_rows: list[tuple[str, float, float, bool, bool]], data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(len(given_rows)))))[: data.draw(st.integers(1, len(given_rows)))]
    item_ids, score, confidence, label, known = (list(column) for column in zip(*given_rows, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.rows_json, "FEW", few)
        written = rows_json(
            [one.encode() for one in item_ids],
            order,
            np.array(score, np.float32),
            np.array(confidence, np.float32),
            np.array(label),
            np.array(known),
        )
    read = orjson.loads(written)
    expected = [given_rows[place] for place in order]
    assert [row["item_id"] for row in read] == [row[0] for row in expected]
    assert [(row["label"], row["known"]) for row in read] == [(int(row[3]), row[4]) for row in expected]
    assert all(isinstance(row["label"], int) and isinstance(row["known"], bool) for row in read)
    for name, place in (("score", 1), ("confidence", 2)):
        wanted = [row[place] for row in expected]
        np.testing.assert_allclose([row[name] for row in read], wanted, rtol=0, atol=1.01e-8)


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_what_would_round_to_one_stays_a_probability_below_it(count: int) -> None:
    one, yes = np.ones(count, np.float32), np.ones(count, np.bool_)
    rows = orjson.loads(rows_json([b"v1"] * count, np.arange(count), one, one, yes, yes))
    assert {row["score"] for row in rows} == {0.99999999}

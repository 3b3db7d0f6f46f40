"""A version is served only if every file, every number and every probe row is as it should be (P4)."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from contract.belief import BELIEF_FILE
from contract.errors import VersionCorrupt
from contract.histories import HISTORY_FILE
from contract.manifest import MANIFEST_FILE, MODEL_FILE, PROBE_FILE, Probe, read_manifest
from service.proof import open_version
from tests.versions import SIDE_ROWS, digest_again, write_version

Change = Callable[[Path], None]
FILES = [
    *("model.onnx", "item_factors.bin", "side_bias.bin", "users.keys.bin", "items.rows.bin"),
    *("users.history.bin", "belief.json", "probe.json"),
]


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_in_any_file_is_refused(tmp_path: Path, name: str) -> None:
    write_version(tmp_path / "000001", history=3)
    path = tmp_path / "000001" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(VersionCorrupt, match=f"000001: sha256 of {name}"):
        open_version(tmp_path / "000001")


def _change_manifest(directory: Path, **fields: object) -> None:
    manifest = read_manifest(directory).model_copy(update=fields)
    (directory / MANIFEST_FILE).write_text(manifest.model_dump_json())


def _nan_in_a_table(directory: Path) -> None:
    table = np.fromfile(directory / "item_bias.bin", "<f4")
    table[-1] = np.nan
    table.tofile(directory / "item_bias.bin")


def _weights_of_another_version(directory: Path) -> None:
    table = np.fromfile(directory / "item_bias.bin", "<f4")
    (table + np.float32(0.01)).tofile(directory / "item_bias.bin")


def _an_index_that_leads_outside_the_tables(directory: Path) -> None:
    rows = np.fromfile(directory / "items.rows.bin", "<i4")
    rows[rows > 0] += 1
    rows.tofile(directory / "items.rows.bin")


def _tables_shorter_than_the_manifest_says(directory: Path) -> None:
    indexes = read_manifest(directory).indexes
    _change_manifest(directory, indexes=indexes | {"items": indexes["items"].model_copy(update={"rows": 9})})


def _no_items_index(directory: Path) -> None:
    _change_manifest(directory, indexes={"users": read_manifest(directory).indexes["users"]})


def _a_table_of_half_numbers(directory: Path) -> None:
    with (directory / "item_bias.bin").open("ab") as file:
        file.write(b"\x00\x00")


def _an_index_cut_short(directory: Path) -> None:
    (directory / "items.rows.bin").write_bytes(b"")


def _no_probe_rows(directory: Path) -> None:
    empty = Probe(user=[], item=[], side=[], history=[], logit=[], score=[], confidence=[], label=[], watch=[])
    (directory / PROBE_FILE).write_text(empty.model_dump_json())


def _change_probe(directory: Path, **columns: object) -> None:
    probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
    (directory / PROBE_FILE).write_text(probe.model_copy(update=columns).model_dump_json())


def _a_probe_with_another_watch(directory: Path) -> None:
    probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
    _change_probe(directory, watch=[*probe.watch[:-1], probe.watch[-1] + 0.5])


def _a_probe_without_sides(directory: Path) -> None:
    _change_probe(directory, side=[[0] * 7])


def _a_probe_with_short_histories(directory: Path) -> None:
    probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
    _change_probe(directory, history=[row[1:] for row in probe.history])


def _a_side_table_shorter_than_the_manifest_says(directory: Path) -> None:
    _change_manifest(directory, side_rows=SIDE_ROWS + 1)


def _no_belief(directory: Path) -> None:
    (directory / BELIEF_FILE).unlink()


def _a_belief_beyond_reason(directory: Path) -> None:
    belief = json.loads((directory / BELIEF_FILE).read_bytes())
    belief["cell_llr"][0] = 1e4
    (directory / BELIEF_FILE).write_text(json.dumps(belief))


def _no_histories(directory: Path) -> None:
    (directory / HISTORY_FILE).unlink()


def _histories_of_another_length(directory: Path) -> None:
    _change_manifest(directory, history=2)


def _a_history_of_an_item_that_is_not_there(directory: Path) -> None:
    np.full(9, 4, "<i4").tofile(directory / HISTORY_FILE)


def _a_history_of_nobody(directory: Path) -> None:
    np.full(9, 1, "<i4").tofile(directory / HISTORY_FILE)


def _a_history_the_graph_does_not_read(directory: Path) -> None:
    _change_manifest(directory, history=0)


def _other_histories_than_the_probe(directory: Path) -> None:
    """The graph is asked with the probe's own histories, so what differs from them is its tables."""
    table = np.fromfile(directory / "liked_factors.bin", "<f4")
    (table + np.float32(0.1)).tofile(directory / "liked_factors.bin")


def _four_parts(directory: Path) -> None:
    model = onnx.load(directory / MODEL_FILE, load_external_data=False)
    del model.graph.node[-1].input[-1]
    model.graph.output[-1].type.tensor_type.shape.dim[1].dim_value = 4
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _no_watch(directory: Path) -> None:
    model = onnx.load(directory / MODEL_FILE, load_external_data=False)
    del model.graph.output[4]
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _a_probe_that_is_not_json(directory: Path) -> None:
    (directory / PROBE_FILE).write_text("{")


def _a_graph_that_is_no_graph(directory: Path) -> None:
    (directory / MODEL_FILE).write_bytes(b"not a graph")


def _swapped_outputs(directory: Path) -> None:
    model = onnx.load(directory / MODEL_FILE, load_external_data=False)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = {"score": "confidence", "confidence": "score"}.get(name, name)
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _an_output_too_few(directory: Path) -> None:
    model = onnx.load(directory / MODEL_FILE, load_external_data=False)
    del model.graph.output[1]
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


def _tables_outside_the_version(directory: Path) -> None:
    model = onnx.load(directory / MODEL_FILE, load_external_data=False)
    outside = directory.parent / "outside.bin"
    outside.write_bytes((directory / "item_bias.bin").read_bytes())
    tensor = next(one for one in model.graph.initializer if one.name == "item_bias")
    tensor.external_data[0].value = "../outside.bin"
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_nan_in_a_table, "item_bias.bin holds a number that is not finite"),
        (_weights_of_another_version, "logit is 0.01 away from the probe"),
        (_an_index_that_leads_outside_the_tables, "id index of items has rows past 3"),
        (_tables_shorter_than_the_manifest_says, "does not load"),
        (_no_items_index, "does not load"),
        (_a_table_of_half_numbers, "does not load"),
        (_an_index_cut_short, "the id index of items cannot be read"),
        (_no_probe_rows, "the probe is empty"),
        (_a_probe_that_is_not_json, "does not load"),
        (_a_graph_that_is_no_graph, "does not load"),
        (_swapped_outputs, "away from the probe"),
        (_an_output_too_few, "which is not its contract"),
        (_tables_outside_the_version, "does not load"),
        (_a_probe_with_another_watch, "watch is 0.5 away from the probe"),
        (_a_probe_without_sides, r"the probe's side has shape \(1, 7\), it should have \(12, 7\)"),
        (_a_side_table_shorter_than_the_manifest_says, "does not load"),
        (_no_belief, "a version needs belief.json"),
        (_a_belief_beyond_reason, "does not load"),
        (_four_parts, r"parts has shape \(\d+, 4\)"),
        (_no_watch, "which is not its contract"),
    ],
)
def test_a_version_that_is_wrong_from_the_start_is_refused_with_its_reason(
    tmp_path: Path, change: Change, reason: str
) -> None:
    write_version(tmp_path / "000001")
    change(tmp_path / "000001")
    digest_again(tmp_path / "000001")
    with pytest.raises(VersionCorrupt, match=reason):
        open_version(tmp_path / "000001")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_no_histories, "a version needs users.history.bin"),
        (_histories_of_another_length, "users.history.bin has 9 entries, 3 users with 2 each should have 6"),
        (_a_history_of_an_item_that_is_not_there, "users.history.bin has rows past 3"),
        (_a_history_of_nobody, "a history for row 0"),
        (_a_history_the_graph_does_not_read, "which is not its contract"),
        (_other_histories_than_the_probe, "away from the probe"),
        (_a_probe_with_short_histories, r"the probe's history has shape \(12, 2\)"),
    ],
)
def test_a_version_with_wrong_histories_is_refused_with_its_reason(tmp_path: Path, change: Change, reason: str) -> None:
    write_version(tmp_path / "000001", history=3)
    change(tmp_path / "000001")
    digest_again(tmp_path / "000001")
    with pytest.raises(VersionCorrupt, match=f"version 000001: .*{reason}"):
        open_version(tmp_path / "000001")


@pytest.mark.parametrize("history", [0, 1, 3])
@pytest.mark.parametrize("has_parts", [True, False])
def test_a_version_that_is_right_is_opened(tmp_path: Path, history: int, has_parts: bool) -> None:
    write_version(tmp_path / "000001", history=history, has_parts=has_parts)
    assert open_version(tmp_path / "000001").history == history

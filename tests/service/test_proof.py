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
from contract.tables import Base
from service.proof import open_version
from tests.versions import CALIBRATION, SIDE_ROWS, digest_again, write_version

Change = Callable[[Path], None]
FILES = [
    *("model.onnx", "items.vectors.bin", "sides.terms.bin", "users.keys.bin", "items.rows.bin"),
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


def _change_layout(directory: Path, **fields: object) -> None:
    _change_manifest(directory, layout=read_manifest(directory).layout.model_copy(update=fields))


def _change_space(directory: Path, space: str, **fields: object) -> None:
    spaces = read_manifest(directory).layout.spaces
    _change_layout(directory, spaces=spaces.model_copy(update={space: spaces[space].model_copy(update=fields)}))


def _nan_in_a_table(directory: Path) -> None:
    table = np.fromfile(directory / "items.terms.bin", "<f4")
    table[-1] = np.nan
    table.tofile(directory / "items.terms.bin")


def _weights_of_another_version(directory: Path) -> None:
    table = np.fromfile(directory / "items.terms.bin", "<f4")
    (table + np.float32(0.01)).tofile(directory / "items.terms.bin")


def _an_index_that_leads_outside_the_tables(directory: Path) -> None:
    rows = np.fromfile(directory / "items.rows.bin", "<i4")
    rows[rows > 0] += 1
    rows.tofile(directory / "items.rows.bin")


def _tables_shorter_than_the_manifest_says(directory: Path) -> None:
    _change_space(directory, "items", rows=9)


def _no_items_index(directory: Path) -> None:
    _change_space(directory, "items", slots=0)


def _a_table_of_half_numbers(directory: Path) -> None:
    with (directory / "items.terms.bin").open("ab") as file:
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
    _change_layout(directory, side_rows=SIDE_ROWS + 1)


def _no_belief(directory: Path) -> None:
    (directory / BELIEF_FILE).unlink()


def _a_belief_beyond_reason(directory: Path) -> None:
    belief = json.loads((directory / BELIEF_FILE).read_bytes())
    belief["cell_llr"][0] = 1e4
    (directory / BELIEF_FILE).write_text(json.dumps(belief))


def _no_histories(directory: Path) -> None:
    (directory / HISTORY_FILE).unlink()


def _histories_of_another_length(directory: Path) -> None:
    _change_layout(directory, history=2)


def _a_history_of_an_item_that_is_not_there(directory: Path) -> None:
    np.full(9, 4, "<i4").tofile(directory / HISTORY_FILE)


def _a_history_of_nobody(directory: Path) -> None:
    np.full(9, 1, "<i4").tofile(directory / HISTORY_FILE)


def _a_history_the_graph_does_not_read(directory: Path) -> None:
    _change_layout(directory, history=0)


def _other_items_than_the_probe(directory: Path) -> None:
    table = np.fromfile(directory / "items.vectors.bin", "<f4")
    (table + np.float32(0.1)).tofile(directory / "items.vectors.bin")


def _a_probe_of_rows_that_are_not_there(directory: Path) -> None:
    probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
    _change_probe(directory, item=[row + 1 for row in probe.item])


def _items_without_vectors(directory: Path) -> None:
    _change_space(directory, "items", width=0)


def _an_index_of_a_size_that_is_no_power_of_two(directory: Path) -> None:
    np.zeros(6, np.uint64).tofile(directory / "items.keys.bin")
    np.zeros(6, np.int32).tofile(directory / "items.rows.bin")
    _change_space(directory, "items", slots=6)


def _an_index_with_no_empty_slot(directory: Path) -> None:
    keys = np.fromfile(directory / "items.keys.bin", "<u8")
    np.full_like(keys, 2).tofile(directory / "items.keys.bin")


def _a_delta_without_its_base(directory: Path) -> None:
    _change_layout(directory, base=Base(version="000007", manifest_sha256="0" * 64))


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
    outside.write_bytes(np.array([CALIBRATION.scale], "<f4").tobytes())
    tensor = next(one for one in model.graph.initializer if one.name == "scale")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../outside.bin")
    (directory / MODEL_FILE).write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_nan_in_a_table, "items.terms.bin holds a number that is not finite"),
        (_weights_of_another_version, "logit is 0.01 away from the probe"),
        (_an_index_that_leads_outside_the_tables, "id index of items has rows past 3"),
        (_tables_shorter_than_the_manifest_says, "items.terms.bin has 8 numbers, the manifest says 9 x 2"),
        (_no_items_index, "items.keys.bin has 64 bytes, by the manifest it can have 0 at most"),
        (_a_table_of_half_numbers, "items.terms.bin has 34 bytes, by the manifest it can have 32 at most"),
        (_an_index_cut_short, "items.rows.bin cannot be read"),
        (_an_index_of_a_size_that_is_no_power_of_two, "6 slots, which should be a power of two"),
        (_an_index_with_no_empty_slot, "less than a quarter of its slots empty"),
        (_items_without_vectors, "items.vectors.bin has 64 bytes, by the manifest it can have 0 at most"),
        (_a_probe_of_rows_that_are_not_there, "the probe's item has rows that the version has not"),
        (_a_delta_without_its_base, "no readable|is missing"),
        (_no_probe_rows, "the probe is empty"),
        (_a_probe_that_is_not_json, "does not load"),
        (_a_graph_that_is_no_graph, "does not load"),
        (_swapped_outputs, "away from the probe"),
        (_an_output_too_few, "which is not its contract"),
        (_tables_outside_the_version, "keeps a tensor in another file"),
        (_a_probe_with_another_watch, "watch is 0.5 away from the probe"),
        (_a_probe_without_sides, r"the probe's side has shape \(1, 7\), it should have \(12, 7\)"),
        (_a_side_table_shorter_than_the_manifest_says, "sides have 1024 rows, features are hashed into 1025"),
        (_no_belief, "it needs belief.json"),
        (_a_belief_beyond_reason, "does not load"),
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
        (_no_histories, "it needs users.history.bin"),
        (_histories_of_another_length, "users.history.bin has 36 bytes, by the manifest it can have 24 at most"),
        (_a_history_of_an_item_that_is_not_there, "users.history.bin has rows past 3"),
        (_a_history_of_nobody, "a history for row 0"),
        (_a_history_the_graph_does_not_read, "which is not its contract"),
        (_other_items_than_the_probe, "away from the probe"),
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
def test_a_version_that_is_right_is_opened(tmp_path: Path, history: int) -> None:
    write_version(tmp_path / "000001", history=history)
    assert open_version(tmp_path / "000001").history == history

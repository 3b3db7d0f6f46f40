"""A version is served only if every file, every number and every probe row is as it should be (P4)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from contract.errors import VersionCorrupt
from contract.manifest import MANIFEST_FILE, MODEL_FILE, PROBE_FILE, Manifest, Probe
from service.servable import open_version
from tests.versions import ITEMS, digest_again, write_version

Change = Callable[[Path], None]


def test_scores_and_parts_equal_the_equations(tmp_path: Path) -> None:
    expected = write_version(tmp_path / "000001")
    answer = open_version(tmp_path / "000001").answer("u2", list(ITEMS), explain=True)
    np.testing.assert_allclose(answer.score, [expected.score("u2", item) for item in ITEMS], atol=1e-6)
    assert answer.parts is not None
    np.testing.assert_allclose(answer.parts, np.array([expected.parts("u2", item) for item in ITEMS]), atol=1e-6)


def test_unknown_ids_score_as_row_zero_and_are_said_to_be_unknown(tmp_path: Path) -> None:
    expected = write_version(tmp_path / "000001")
    answer = open_version(tmp_path / "000001").answer("stranger", ["v1", "new"], explain=False)
    np.testing.assert_allclose(answer.score, [expected.score("", "v1"), expected.score("", "")], atol=1e-6)
    assert (answer.known.tolist(), answer.known_user, answer.parts) == ([True, False], False, None)


@pytest.mark.parametrize("name", ["model.onnx", "item_factors.bin", "users.keys.bin", "items.rows.bin", "probe.json"])
def test_one_flipped_bit_in_any_file_is_refused(tmp_path: Path, name: str) -> None:
    write_version(tmp_path / "000001")
    path = tmp_path / "000001" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(VersionCorrupt, match=f"000001: sha256 of {name}"):
        open_version(tmp_path / "000001")


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
    manifest = Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    items = manifest.indexes["items"].model_copy(update={"rows": 9})
    (directory / MANIFEST_FILE).write_text(
        manifest.model_copy(update={"indexes": manifest.indexes | {"items": items}}).model_dump_json()
    )


def _no_items_index(directory: Path) -> None:
    manifest = Manifest.model_validate_json((directory / MANIFEST_FILE).read_bytes())
    users = {"users": manifest.indexes["users"]}
    (directory / MANIFEST_FILE).write_text(manifest.model_copy(update={"indexes": users}).model_dump_json())


def _a_table_of_half_numbers(directory: Path) -> None:
    with (directory / "item_bias.bin").open("ab") as file:
        file.write(b"\x00\x00")


def _an_index_cut_short(directory: Path) -> None:
    (directory / "items.rows.bin").write_bytes(b"")


def _no_probe_rows(directory: Path) -> None:
    empty = Probe(user=[], item=[], logit=[], score=[], confidence=[], label=[])
    (directory / PROBE_FILE).write_text(empty.model_dump_json())


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

"""Bad models made by hand, with digests that are right: each is a fault, or an attack, of its own (P4).

A version is copied, one thing is made wrong, and the manifest is made to agree with the files, as a faulty exporter
would or somebody who can write the registry. What must be said of each stands beside it, as a regular expression.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.chaos.bad_graphs import (
    GIB,
    Change,
    a_claim_of_3_gib,
    a_column_times_a_row,
    a_domain_of_its_own,
    a_million_nodes,
    a_tensor_made_of_a_number,
    an_input_too_many,
    an_output_too_few,
    another_opset,
    behind_logit,
    in_graph,
    nan_scale,
    of_another_shape,
    of_another_type,
    outside,
    swapped_inputs,
    swapped_outputs,
)
from contract.belief import BELIEF_FILE
from contract.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    PROBE_FILE,
    Manifest,
    Probe,
    digest_files,
    read_manifest,
    sealed,
)
from contract.tables import open_tables, watch_logit

_YEAR_3000_MS = 32_503_680_000_000
_FEATURES = ("terms", "vectors")


@dataclass(frozen=True)
class BadModel:
    """One of them."""

    name: str
    make: Change  # makes one thing of a version's directory wrong
    reason: str  # what the refusal must match
    redigest: bool = True  # whether the manifest is made to agree with the files; else `make` leaves it as it must be


def spoil(directory: Path, bad: BadModel) -> None:
    """Make a copied version bad."""
    bad.make(directory)
    if bad.redigest:
        digest_again(directory)


def digest_again(directory: Path) -> None:
    """Make the manifest agree with the files."""
    manifest = read_manifest(directory)
    _write_manifest(directory, manifest.model_copy(update={"files": digest_files(directory)}))


def answer_again(directory: Path) -> None:
    """Make the probe say what the version's own files answer, as if the fault had been there when it was made."""
    probe = Probe.model_validate_json((directory / PROBE_FILE).read_bytes())
    tables = open_tables(directory, read_manifest(directory).layout, None)
    terms, feed = tables.of_pairs(*(np.array(getattr(probe, name)) for name in ("user", "item", "side")))
    session = onnxruntime.InferenceSession(directory / MODEL_FILE, providers=["CPUExecutionProvider"])
    names = ["logit", "score", "confidence", "label"]
    answers = dict(zip(names, session.run(names, feed), strict=True))
    found = {name: answer.astype(np.float64).tolist() for name, answer in answers.items()}
    found |= {"label": answers["label"].astype(int).tolist(), "watch": watch_logit(terms).tolist()}
    (directory / PROBE_FILE).write_text(probe.model_copy(update=found).model_dump_json())


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    (directory / MANIFEST_FILE).write_text(sealed(manifest).model_dump_json())


def _in_manifest(*path: str, value: Any) -> Change:
    """Return a change of one field, with no seal to give it away."""

    def change(directory: Path) -> None:
        file = directory / MANIFEST_FILE
        manifest = json.loads(file.read_bytes()) | {"seal": None}
        inner = manifest
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        file.write_text(json.dumps(manifest))

    return change


def _whole_manifest(content: bytes) -> Change:
    def change(directory: Path) -> None:
        (directory / MANIFEST_FILE).write_bytes(content)

    return change


def _in_table(file: str, number: float) -> Change:
    def change(directory: Path) -> None:
        table = np.fromfile(directory / file, "<f4")
        table[-1] = number
        table.tofile(directory / file)

    return change


def _a_graph_behind_a_link(directory: Path) -> None:
    outside = directory.parent.parent / "outside.onnx"
    (directory / MODEL_FILE).rename(outside)
    (directory / MODEL_FILE).symlink_to(outside)


def _one_answer_for_all(directory: Path) -> None:
    for space in ("users", "items", "sides"):
        for kind in _FEATURES:
            file = directory / f"{space}.{kind}.bin"
            if file.exists():
                file.write_bytes(bytes(file.stat().st_size))
    answer_again(directory)


def _logits_beyond_reason(directory: Path) -> None:
    table = np.fromfile(directory / "users.terms.bin", "<f4").reshape(-1, 2)
    table[:, 0] += 500
    table.tofile(directory / "users.terms.bin")
    answer_again(directory)


def _exploding(directory: Path) -> None:
    in_graph(behind_logit("Mul", np.array([1e30], np.float32)))(directory)
    answer_again(directory)


def _a_pipe(directory: Path) -> None:
    (directory / BELIEF_FILE).unlink()
    os.mkfifo(directory / BELIEF_FILE)


def _a_belief_with_nan(directory: Path) -> None:
    belief = json.loads((directory / BELIEF_FILE).read_bytes())
    belief["coefficients"][0] = float("nan")
    (directory / BELIEF_FILE).write_text(json.dumps(belief))


def _an_empty_probe(directory: Path) -> None:
    probe = json.loads((directory / PROBE_FILE).read_bytes())
    empty: dict[str, list[int]] = {name: [] for name, column in probe.items() if isinstance(column, list)}
    (directory / PROBE_FILE).write_text(json.dumps(probe | empty))


def _on_itself(directory: Path) -> None:
    base = {"version": directory.name, "manifest_sha256": "0" * 64}
    _in_manifest("layout", "base", value=base)(directory)


_FAR = {"sha256": "0" * 64, "bytes": 3 * GIB}
_NAN = float("nan")
HANDCRAFTED = [
    BadModel("NaN in a table", _in_table("items.terms.bin", _NAN), "items.terms.bin holds a number that is not finite"),
    BadModel("infinity in a table", _in_table("users.vectors.bin", np.inf), "users.vectors.bin holds a number"),
    BadModel("NaN in the graph", in_graph(nan_scale), "is not finite"),
    BadModel(
        "1e30 in a table", _in_table("users.terms.bin", 1e30), r"users.terms.bin holds 1e\+30, the bound is 10000"
    ),
    BadModel("scores that explode, and a probe that says so", _exploding, "one more of these does not add one"),
    BadModel("logits beyond reason, and a probe that says so", _logits_beyond_reason, "the bound is 100"),
    BadModel("one answer for all, and a probe that says so", _one_answer_for_all, "it tells nothing apart"),
    BadModel("swapped outputs", in_graph(swapped_outputs), "away from the probe"),
    BadModel("swapped inputs", in_graph(swapped_inputs), "does not load"),
    BadModel("another opset", in_graph(another_opset), r"opset \[21\], this release reads 17"),
    BadModel("a domain of its own", in_graph(a_domain_of_its_own), "domain 'evil.example'"),
    BadModel("a tensor in ../", in_graph(outside("../outside.bin")), "keeps a tensor in another file"),
    BadModel("a tensor in /etc", in_graph(outside("/etc/hostname")), "keeps a tensor in another file"),
    BadModel("a graph behind a link", _a_graph_behind_a_link, "model.onnx is missing or not a plain file"),
    BadModel("an output of another type", in_graph(of_another_type), "another type than its contract for confidence"),
    BadModel("an output of another shape", in_graph(of_another_shape), "confidence has shape"),
    BadModel("an output too few", in_graph(an_output_too_few), "not its contract"),
    BadModel("an input too many", in_graph(an_input_too_many), "not its contract"),
    BadModel("a tensor that claims 3 GiB", in_graph(a_claim_of_3_gib), "claims 805306368 numbers"),
    BadModel("a file that claims 3 GiB", _in_manifest("files", MODEL_FILE, value=_FAR), "it can have 67108864", False),
    BadModel("ConstantOfShape of 3 GiB", in_graph(a_tensor_made_of_a_number), "an operator 'ConstantOfShape'"),
    BadModel("a column times a row, 3.6 GB", in_graph(a_column_times_a_row), "does not load .*arena"),
    BadModel("a million nodes", a_million_nodes, "more than 1000 nodes"),
    BadModel("a manifest of 2 MiB", _whole_manifest(b" " * (2 << 20)), "the bound is 1048576", False),
    BadModel("a deep manifest", _whole_manifest(b"[" * 500_000), "no readable manifest", False),
    BadModel("a file named ../x", _in_manifest("files", "../x", value=_FAR), "no readable manifest", False),
    BadModel("a pipe among the files", _a_pipe, "belief.json is missing or not a plain file", False),
    BadModel("NaN as the scale", _in_manifest("calibration", "scale", value=_NAN), "calibration.scale", False),
    BadModel("infinity as the prior", _in_manifest("prior", value=np.inf), "prior", False),
    BadModel("made in the year 3000", _in_manifest("created_ms", value=_YEAR_3000_MS), "created_ms", False),
    BadModel("a base that is itself", _on_itself, "which is a delta itself", False),
    BadModel("NaN in the belief", _a_belief_with_nan, "does not load"),
    BadModel("an empty probe", _an_empty_probe, "the probe is empty"),
]

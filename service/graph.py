"""The graph of a version, as onnxruntime runs it: its signature, and one run in the calling thread."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from contract.errors import VersionCorrupt

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it would otherwise report to its maker
import onnxruntime

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int32] | npt.NDArray[np.int64]

OUTPUTS = ["logit", "score", "confidence", "label", "watch"]
PARTS_OUTPUT = "parts"
_INPUTS = ["user", "item", "side"]
_FLOAT, _INT64 = "tensor(float)", "tensor(int64)"


class Graph:
    """One graph, open. Safe to run in several threads at once."""

    def __init__(self, path: Path, reads_history: bool) -> None:
        """Open the graph; its tables are mapped. Raises VersionCorrupt if its inputs and outputs break the contract."""
        self._session = onnxruntime.InferenceSession(str(path), _options(), ["CPUExecutionProvider"])
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        outputs = {node.name: node.type for node in self._session.get_outputs()}
        self.explains = PARTS_OUTPUT in outputs
        _check_signature(inputs, outputs, reads_history)

    def run(
        self, outputs: Sequence[str], user: Rows, item: Rows, side: Rows, history: Rows | None = None
    ) -> list[Floats]:
        """Return the outputs asked for; `label` is int64. Shapes [1 or N], [N], [N, 7], [1, L].

        onnxruntime computes every output, asked for or not: `only_execute_path_to_fetches` works in its builds for
        training alone (onnxruntime issues 16013, 27615; measured with 1.32).
        """
        feed = {
            "user": user.astype(np.int64, copy=False),
            "item": item.astype(np.int64, copy=False),
            "side": side.astype(np.int64, copy=False),
        }
        if history is not None:
            feed["history"] = history.astype(np.int64, copy=False)
        return cast(list[Floats], self._session.run(outputs, feed))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a run ends in the thread that asked: no hand-over, no waiting
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # each number of candidates would keep a pattern of its own
    options.log_severity_level = 4  # a refusal is logged once, by the slot
    return options


def _check_signature(inputs: dict[str, str], outputs: dict[str, str], reads_history: bool) -> None:
    wanted = {*_INPUTS, *(["history"] if reads_history else [])}
    if inputs.keys() != wanted or not {*OUTPUTS} <= outputs.keys() <= {*OUTPUTS, PARTS_OUTPUT}:
        raise VersionCorrupt(f"the graph maps {sorted(inputs)} to {sorted(outputs)}, which is not its contract")
    types = dict.fromkeys(wanted | {"label"}, _INT64)
    if wrong := [node for node, kind in (inputs | outputs).items() if kind != types.get(node, _FLOAT)]:
        raise VersionCorrupt(f"the graph has another type than its contract for {', '.join(wrong)}")

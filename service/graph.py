"""The graph of a version, as onnxruntime runs it: its signature, one run in the calling thread, bounded memory (P4)."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contract.errors import VersionCorrupt
from contract.tables import Feed, Tables
from service.graph_file import check_graph_file

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # importing it would otherwise report to its maker
import onnxruntime

MAX_WORKING_BYTES = 1 << 30  # of all runs at once; a run over 10,000 candidates of width 512 takes some 20 MiB
_OUTPUTS = ["logit", "score", "confidence", "label"]
_TYPES = {"history": "tensor(int64)", "label": "tensor(bool)"}
_FLOAT = "tensor(float)"
_AS_REQUESTED = 1  # the arena is as large as it must be, not the next power of two


class Outputs(NamedTuple):
    """What a graph says of N pairs, each [N]."""

    logit: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    label: npt.NDArray[np.bool_]


class Graph:
    """One graph, open. Safe to run in several threads at once."""

    def __init__(self, path: Path, tables: Tables) -> None:
        """Open the graph. Raises VersionCorrupt if its file holds what it may not, or it has another signature.

        onnxruntime is given the bytes that were looked at, and no path.
        """
        content = path.read_bytes()
        check_graph_file(content)
        self._session = onnxruntime.InferenceSession(content, _options(), ["CPUExecutionProvider"])
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        outputs = {node.name: node.type for node in self._session.get_outputs()}
        _check_signature(inputs, outputs, tables)

    def run(self, feed: Feed) -> Outputs:
        """Return what the graph makes of the inputs (see contract.manifest).

        onnxruntime computes every output, asked for or not: `only_execute_path_to_fetches` works in its builds for
        training alone (onnxruntime issues 16013, 27615; measured with 1.32).
        """
        return Outputs(*self._session.run(_OUTPUTS, feed))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a run ends in the thread that asked: no hand-over, no waiting
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # each number of candidates would keep a pattern of its own
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = 4  # a refusal is logged once, by the slot
    return options


def _bound_working_memory() -> None:
    """Let no graph take more: a column times a row of a file of kilobytes is gigabytes, by operators that all need."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    bound = onnxruntime.OrtArenaCfg({"max_mem": MAX_WORKING_BYTES, "arena_extend_strategy": _AS_REQUESTED})
    onnxruntime.create_and_register_allocator(memory, bound)


def _check_signature(inputs: dict[str, Any], outputs: dict[str, Any], tables: Tables) -> None:
    wanted = {"item", "plain"}
    if tables.users.vectors is not None:
        wanted.add("user")
    if tables.histories is not None:
        wanted |= {"history", "past"}
    if inputs.keys() != wanted or outputs.keys() != {*_OUTPUTS}:
        raise VersionCorrupt(f"the graph maps {sorted(inputs)} to {sorted(outputs)}, which is not its contract")
    if wrong := [node for node, kind in (inputs | outputs).items() if kind != _TYPES.get(node, _FLOAT)]:
        raise VersionCorrupt(f"the graph has another type than its contract for {', '.join(wrong)}")


_bound_working_memory()  # once a process, before its first session

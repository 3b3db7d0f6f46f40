"""Graphs made bad by hand: edits of a version's model.onnx, each a fault or an attack of its own (P4)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contract.manifest import MODEL_FILE

GIB = 1 << 30
_MILLION = 1_000_000
_SIDE = 30_000  # of a column and a row whose product has 9e8 numbers
Change = Callable[[Path], None]
Edit = Callable[[onnx.ModelProto], None]


def in_graph(edit: Edit) -> Change:
    """Return a change of a version by an edit of its graph."""

    def change(directory: Path) -> None:
        model = onnx.load(directory / MODEL_FILE, load_external_data=False)
        edit(model)
        (directory / MODEL_FILE).write_bytes(model.SerializeToString())

    return change


def _tensor(model: onnx.ModelProto, name: str) -> TensorProto:
    found: TensorProto = next(one for one in model.graph.initializer if one.name == name)
    return found


def nan_scale(model: onnx.ModelProto) -> None:
    """Make a weight NaN."""
    _tensor(model, "scale").CopyFrom(numpy_helper.from_array(np.array([np.nan], np.float32), "scale"))


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        for columns in (node.input, node.output):
            for place, name in enumerate(columns):
                columns[place] = names.get(name, name)


def swapped_outputs(model: onnx.ModelProto) -> None:
    """Swap score and confidence."""
    _rename(model, {"score": "confidence", "confidence": "score"})


def swapped_inputs(model: onnx.ModelProto) -> None:
    """Swap item and plain."""
    _rename(model, {"item": "plain", "plain": "item"})


def another_opset(model: onnx.ModelProto) -> None:
    """Claim opset 21."""
    model.opset_import[0].version = 21


def a_domain_of_its_own(model: onnx.ModelProto) -> None:
    """Take an operator from elsewhere."""
    model.graph.node[0].domain = "evil.example"


def outside(location: str) -> Edit:
    """Return an edit that keeps a tensor in another file."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = _tensor(model, "scale")
        tensor.ClearField("float_data")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return edit


def behind_logit(operator: str, *constants: Any, **attributes: Any) -> Edit:
    """Return an edit that puts one more node between the logit and whoever reads it."""

    def edit(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        place = next(n for n, node in enumerate(nodes) if "logit" in node.output)
        nodes[place].output[0] = "before"
        names = [f"more_{n}" for n in range(len(constants))]
        model.graph.initializer.extend(map(numpy_helper.from_array, constants, names))
        nodes.insert(place + 1, helper.make_node(operator, ["before", *names], ["logit"], **attributes))
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return edit


def of_another_type(model: onnx.ModelProto) -> None:
    """Answer in double."""
    score = next(node for node in model.graph.node if "confidence" in node.output)
    score.output[0] = "narrow"
    model.graph.node.append(helper.make_node("Cast", ["narrow"], ["confidence"], to=TensorProto.DOUBLE))
    next(one for one in model.graph.output if one.name == "confidence").type.tensor_type.elem_type = TensorProto.DOUBLE


def of_another_shape(model: onnx.ModelProto) -> None:
    """Answer [N, 1]."""
    last = next(node for node in model.graph.node if "confidence" in node.output)
    last.output[0] = "flat"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "last_axis"))
    model.graph.node.append(helper.make_node("Unsqueeze", ["flat", "last_axis"], ["confidence"]))
    found = next(one for one in model.graph.output if one.name == "confidence").type.tensor_type
    found.shape.dim.add().dim_value = 1


def an_output_too_few(model: onnx.ModelProto) -> None:
    """Leave out the score."""
    del model.graph.output[1]


def an_input_too_many(model: onnx.ModelProto) -> None:
    """Ask for more than there is."""
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N"]))


def a_claim_of_3_gib(model: onnx.ModelProto) -> None:
    """Claim 3 GiB in some bytes."""
    tensor = _tensor(model, "scale")
    del tensor.dims[:]
    tensor.dims.extend([3 * GIB // 4])


def a_million_nodes(directory: Path) -> None:
    """Append nodes that do nothing."""
    model = onnx.load(directory / MODEL_FILE, load_external_data=False)
    part = onnx.GraphProto(node=[helper.make_node("Identity", ["plain"], ["x"])]).SerializeToString()
    graph = model.graph.SerializeToString() + part * _MILLION
    model.ClearField("graph")
    tag = bytes([7 << 3 | 2])
    (directory / MODEL_FILE).write_bytes(model.SerializeToString() + tag + _varint(len(graph)) + graph)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def a_tensor_made_of_a_number(model: onnx.ModelProto) -> None:
    """Have ConstantOfShape claim 3 GiB: some bytes of a file, and all of the memory when it runs."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([3 * GIB // 4]), "many"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["many"], ["huge"]))


def a_column_times_a_row(model: onnx.ModelProto) -> None:
    """Claim 3.6 GB by broadcasting, of operators that versions do need."""
    column = numpy_helper.from_array(np.ones((_SIDE, 1), np.float32), "column")
    row = numpy_helper.from_array(np.ones((1, _SIDE), np.float32), "row")
    axes = numpy_helper.from_array(np.array([0, 1]), "both")
    model.graph.initializer.extend([column, row, axes])
    behind_logit("Add")(model)
    logit = next(node for node in model.graph.node if "logit" in node.output)
    logit.input.append("no_more")
    made = [
        helper.make_node("Sub", ["column", "column"], ["empty"]),
        helper.make_node("Mul", ["empty", "row"], ["huge"]),
        helper.make_node("ReduceSum", ["huge", "both"], ["no_more"], keepdims=0),
    ]
    nodes = [*made, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

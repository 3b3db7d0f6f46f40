"""What a graph's file may hold, looked at before onnxruntime sees a byte of it (P4).

A graph that stands in no other file, loops over nothing and makes no tensor out of a number needs few operators: those
that our backbones are written in. So a file is held to them, and to bounds, by walking its protobuf fields: no external
data, no operators of another domain, no functions, no graphs inside of nodes, no tensor that claims more numbers than
it has bytes. onnxruntime refuses some of this itself, but only some, and in some releases only.

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: onnx.proto of ONNX 1.17.
"""

import math
from collections.abc import Iterator

from contract.errors import VersionCorrupt

MAX_GRAPH_BYTES = 64 << 20
MAX_NODES = 1_000
MAX_FIELDS = 100_000  # looked at in all; ours have some hundreds
OPSET = 17
# fmt: off
OPERATORS = frozenset({
    "Add", "And", "Cast", "Constant", "Equal", "Gather", "Gemm", "Greater", "Identity", "LayerNormalization", "MatMul",
    "Mul", "Not", "Or", "ReduceSum", "Relu", "Sigmoid", "Softmax", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
    "Where",
})
# fmt: on
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}
_Value = int | memoryview
# Fields by message.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 8, 20, 25
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_OTHERS = 5, {6: "a graph", 10: "tensors", 11: "graphs", 22: "a sparse tensor", 23: "more"}
_TENSOR_DIMS, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 13, 14
_OWN_DOMAINS = ("", "ai.onnx")


def check_graph_file(content: bytes) -> None:
    """Raise VersionCorrupt, naming what is wrong, if a graph holds anything that a version's may not."""
    if len(content) > MAX_GRAPH_BYTES:
        raise VersionCorrupt(f"the graph has {len(content)} bytes, the bound is {MAX_GRAPH_BYTES}")
    try:
        _Walk().model(memoryview(content))
    except (IndexError, UnicodeDecodeError, TypeError) as error:
        raise VersionCorrupt(f"it does not load: the graph is no protobuf of ONNX ({type(error).__name__})") from error


class _Walk:
    """One walk over a file; it ends when too much was looked at."""

    def __init__(self) -> None:
        self._fields = 0
        self._nodes = 0

    def model(self, message: memoryview) -> None:
        opsets = []
        for field, value in self._read(message):
            if field == _MODEL_GRAPH:
                self._graph(_bytes(value))
            elif field == _MODEL_OPSET:
                opsets.append(self._opset(_bytes(value)))
            elif field in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
                raise VersionCorrupt("the graph's file has functions or training steps, which no version needs")
        if not self._nodes:
            raise VersionCorrupt("it does not load: the graph has no node")
        if opsets != [OPSET]:
            raise VersionCorrupt(f"the graph is of opset {opsets}, this release reads {OPSET}")

    def _opset(self, message: memoryview) -> int:
        found = dict(self._read(message))
        domain = _text(found.get(_OPSET_DOMAIN, memoryview(b"")))
        if domain not in _OWN_DOMAINS:
            raise VersionCorrupt(f"the graph needs operators of the domain {domain[:40]!r}, which are not ONNX's own")
        version = found.get(_OPSET_VERSION, 0)
        return version if isinstance(version, int) else 0

    def _graph(self, message: memoryview) -> None:
        for field, value in self._read(message):
            if field == _GRAPH_NODE:
                self._nodes += 1
                if self._nodes > MAX_NODES:
                    raise VersionCorrupt(f"the graph has more than {MAX_NODES} nodes")
                self._node(_bytes(value))
            elif field == _GRAPH_TENSOR:
                self._tensor(_bytes(value))
            elif field == _GRAPH_SPARSE:
                raise VersionCorrupt("the graph has sparse tensors, which no version needs")

    def _node(self, message: memoryview) -> None:
        for field, value in self._read(message):
            if field == _NODE_OPERATOR and (operator := _text(value)) not in OPERATORS:
                raise VersionCorrupt(f"the graph has an operator {operator[:40]!r}, which no version needs")
            if field == _NODE_DOMAIN and (domain := _text(value)) not in _OWN_DOMAINS:
                raise VersionCorrupt(f"the graph has an operator of the domain {domain[:40]!r}, not ONNX's own")
            if field == _NODE_ATTRIBUTE:
                self._attribute(_bytes(value))

    def _attribute(self, message: memoryview) -> None:
        for field, value in self._read(message):
            if field == _ATTRIBUTE_TENSOR:
                self._tensor(_bytes(value))
            elif field in _ATTRIBUTE_OTHERS:
                raise VersionCorrupt(f"a node of the graph carries {_ATTRIBUTE_OTHERS[field]}, which no version needs")

    def _tensor(self, message: memoryview) -> None:
        dims: list[int] = []
        for field, value in self._read(message):
            if field == _TENSOR_DIMS:
                dims += [value] if isinstance(value, int) else self._varints(value)
            elif field == _TENSOR_EXTERNAL or (field == _TENSOR_LOCATION and value):
                raise VersionCorrupt("the graph keeps a tensor in another file; a version's stand in its own")
        if math.prod(dims) > len(message):
            raise VersionCorrupt(f"a tensor of the graph claims {math.prod(dims)} numbers in {len(message)} bytes")

    def _read(self, message: memoryview) -> Iterator[tuple[int, _Value]]:
        """Yield the fields of a message. Raises IndexError where it is cut short or of no known form."""
        place = 0
        while place < len(message):
            self._count()
            tag, place = _varint(message, place)
            field, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                value, place = _varint(message, place)
                yield field, value
                continue
            length, place = _varint(message, place) if wire == _BYTES else (_WIDTH.get(wire, -1), place)
            if length < 0 or place + length > len(message):
                raise IndexError(place)
            yield field, message[place : place + length]
            place += length

    def _varints(self, packed: memoryview) -> list[int]:
        found, place = [], 0
        while place < len(packed):
            self._count()
            value, place = _varint(packed, place)
            found.append(value)
        return found

    def _count(self) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise VersionCorrupt(f"the graph's file has more than {MAX_FIELDS} fields")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise IndexError(place)


def _bytes(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise TypeError("a number where a message is due")
    return value


def _text(value: _Value) -> str:
    return bytes(_bytes(value)).decode()

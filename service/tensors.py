"""Tensors of the Open Inference Protocol: the bytes of a body into text, arrays into the bytes of a body.

A body is JSON, or JSON and after it the data of the tensors that say `binary_data_size`, in their order: little-endian
and row by row, a BYTES element as its length in 4 bytes and then itself. Whatever was sent, the worst is a 4xx that
does not repeat it (P11), and nothing is made as large as a shape says before the shape is within its bound.

Sources: KServe, "Open Inference Protocol" (REST); Triton, "Binary Tensor Data Extension".
"""

import struct
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
from starlette.exceptions import HTTPException

from contract.errors import InvalidInput, TooLarge
from contract.events import MAX_ID_CHARACTERS, fit_for_ids

HEADER_LENGTH = "inference-header-content-length"
_KINDS = {"FP32": "<f4", "INT64": "<i8", "BOOL": "?"}
_MOST = 2**63 - 1
_Element = str | Annotated[int, msgspec.Meta(ge=-_MOST - 1, le=_MOST)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
_LENGTH = struct.Struct("<I")


class InputParameters(msgspec.Struct):
    """What an input says beside the protocol's core; what is not listed is not read."""

    binary_data_size: _Positive | None = None


class InputTensor(msgspec.Struct):
    """One input."""

    name: str
    shape: list[_Positive]
    datatype: str
    data: list[_Element | list[_Element]] | None = None
    parameters: InputParameters | None = None

    @property
    def raw_bytes(self) -> int:
        """How many bytes after the JSON are this tensor's."""
        return (self.parameters and self.parameters.binary_data_size) or 0


class OutputParameters(msgspec.Struct):
    """How the data of an output is wanted."""

    binary_data: bool | None = None
    classification: Any = None
    shared_memory_region: Any = None


class WantedOutput(msgspec.Struct):
    """One output that is asked for."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(msgspec.Struct):
    """What a request says beside the protocol's core; what is not listed is not read."""

    binary_data_output: bool | None = None


class InferBody(msgspec.Struct):
    """The body of an inference request."""

    inputs: list[InputTensor]
    outputs: list[WantedOutput] | None = None
    id: str | None = None
    parameters: RequestParameters | None = None


_DECODER = msgspec.json.Decoder(InferBody)


def read_body(body: bytes, header_length: str | None) -> tuple[InferBody, list[bytes]]:
    """Return the request in `body`, and for each of its inputs what follows the JSON of it, empty if nothing does.

    The JSON is `header_length` bytes long, or the whole body if that is not said. Raises HTTPException 400 for what is
    not JSON, InvalidInput for what is not an inference request.
    """
    head_bytes = len(body) if header_length is None else _length_of(header_length, len(body))
    try:
        request = _DECODER.decode(memoryview(body)[:head_bytes])
    except msgspec.ValidationError as error:  # it names types, bounds and our own field names, never a value
        raise InvalidInput(f"the body is not an inference request: {error}") from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise HTTPException(400, f"the body is not valid JSON: {reason}") from None
    if request.id is not None:
        _check_texts("id", [request.id])
    return request, _cut(request.inputs, body, head_bytes)


def texts_of(tensor: InputTensor, raw: bytes, max_elements: int) -> list[str]:
    """Return the elements of a BYTES tensor as text, those of an INT64 tensor as their digits. Shape [N].

    `raw` is what follows the JSON of it. Raises TooLarge, or InvalidInput for data that is not what datatype and shape
    say, and for what cannot be an id.
    """
    count = _count_of(tensor, max_elements)
    if tensor.datatype not in ("BYTES", "INT64"):
        raise InvalidInput(f"{tensor.name} has a datatype that is not taken; send BYTES, or INT64")
    if bool(raw) == (tensor.data is not None):
        raise InvalidInput(f"{tensor.name} needs its values either in data or, by binary_data_size, after the JSON")
    if not raw:
        texts = _from_json(tensor, count)
    elif tensor.datatype == "INT64":
        texts = _from_integers(tensor.name, raw, count)
    else:
        texts = _from_prefixed(tensor.name, raw, count)
    _check_texts(tensor.name, texts)
    return texts


def write_body(
    head: Mapping[str, object], values: Mapping[str, npt.NDArray[Any]], datatypes: Mapping[str, str], binary: set[str]
) -> tuple[bytes, int | None]:
    """Return a body with `head` and the tensors of `values`, and the length of its JSON if something follows that.

    `datatypes` has each tensor's, FP32, INT64 or BOOL; `binary` names those whose data is to follow the JSON.
    """
    outputs, raw = [], []
    for name, array in values.items():
        array = np.ascontiguousarray(array, _KINDS[datatypes[name]])
        tensor: dict[str, object] = {"name": name, "datatype": datatypes[name], "shape": list(array.shape)}
        if name in binary:
            raw.append(array.tobytes())
            tensor["parameters"] = {"binary_data_size": array.nbytes}
        else:
            tensor["data"] = array
        outputs.append(tensor)
    written = orjson.dumps({**head, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([written, *raw]), len(written)) if raw else (written, None)


def _length_of(header_length: str, body_bytes: int) -> int:
    is_number = header_length.isascii() and header_length.isdigit() and len(header_length) < 20
    if not is_number or not 1 <= int(header_length) <= body_bytes:
        raise HTTPException(
            400, f"{HEADER_LENGTH} is the length of the JSON: a number from 1 to {body_bytes}, the bytes of the body"
        )
    return int(header_length)


def _cut(inputs: list[InputTensor], body: bytes, start: int) -> list[bytes]:
    """Return each input's part of what follows the JSON. Raises InvalidInput if the parts are not the whole."""
    said, sent = sum(tensor.raw_bytes for tensor in inputs), len(body) - start
    if said != sent:
        raise InvalidInput(
            f"{sent} bytes follow the JSON, but the binary_data_size of all inputs add up to {said}; "
            f"make them agree, and set {HEADER_LENGTH} to the length of the JSON"
        )
    ends = list(accumulate((tensor.raw_bytes for tensor in inputs), initial=start))
    return [body[one:next_one] for one, next_one in pairwise(ends)]


def _count_of(tensor: InputTensor, max_elements: int) -> int:
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
        raise InvalidInput(f"{tensor.name} has a shape that is not taken; send [N] or [N, 1]")
    count = tensor.shape[0]
    if count > max_elements:
        raise TooLarge(
            f"{tensor.name} has {count} elements, the bound is {max_elements}; split it, or raise WINNOW_MAX_CANDIDATES"
        )
    return count


def _from_json(tensor: InputTensor, count: int) -> list[str]:
    data = tensor.data or []
    if len(data) != count:
        raise InvalidInput(f"{tensor.name} has {len(data)} values in data, its shape says {count}; make them agree")
    if len(tensor.shape) == 2:  # rows of one element may be written nested, or flat
        data = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in data]
    kind, meaning = (str, "text") if tensor.datatype == "BYTES" else (int, "an integer")
    if set(map(type, data)) != {kind}:
        raise InvalidInput(f"{tensor.name} is {tensor.datatype}, so each value in data has to be {meaning}")
    return data if kind is str else list(map(str, data))  # type: ignore[return-value]  # seen just above


def _from_integers(name: str, raw: bytes, count: int) -> list[str]:
    if len(raw) != 8 * count:
        raise InvalidInput(f"{name} has {len(raw)} bytes of data, {count} INT64 take {8 * count}; make them agree")
    return list(map(str, np.frombuffer(raw, "<i8").tolist()))


def _from_prefixed(name: str, raw: bytes, count: int) -> list[str]:
    texts, at, end = [], 0, len(raw)
    try:
        for _ in range(count):
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(raw, at)[0]
            if at > end:
                break
            texts.append(raw[start:at].decode())
    except struct.error:  # not even the length is whole
        at = end + 1
    except UnicodeDecodeError:
        raise InvalidInput(f"{name}[{len(texts)}] is not UTF-8; ids are text") from None
    if at > end:
        raise InvalidInput(f"{name}[{len(texts)}] ends after the {end} bytes of {name}; its shape says {count}")
    if at < end:
        raise InvalidInput(f"{name} has {end - at} bytes after its {count} elements; make shape and data agree")
    return texts


def _check_texts(name: str, texts: list[str]) -> None:
    """Raise InvalidInput if one of them cannot be an id (`contract.events.ExternalId`)."""
    sizes = list(map(len, texts))
    if min(sizes) < 1 or max(sizes) > MAX_ID_CHARACTERS:
        place = next(place for place, size in enumerate(sizes) if not 1 <= size <= MAX_ID_CHARACTERS)
        raise InvalidInput(f"{name}[{place}] has {sizes[place]} characters; 1 to {MAX_ID_CHARACTERS} are taken")
    if not fit_for_ids("".join(texts)):
        place = next(place for place, text in enumerate(texts) if not fit_for_ids(text))
        raise InvalidInput(f"{name}[{place}] has a control character; leave it out")

"""The Open Inference Protocol under /v2: KServe's and Triton's clients ask Winnow as they ask any model.

One model, `winnow`, in one version: the one that is served. Inputs are ids, outputs what `POST /v1/score` answers, in
the order asked. Errors have the protocol's own shape, {"error": ...}, with the statuses of `service/problems.py`.

Source: KServe, "Open Inference Protocol" (REST); Triton, "Binary Tensor Data Extension".
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as version_of
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from contract.errors import InvalidInput, WinnowError
from service.limits import Limits
from service.problems import problem_response
from service.scorer import Scorer
from service.servable import Answer, Servable
from service.settings import ServiceSettings
from service.slot import Slot
from service.tensors import HEADER_LENGTH, InferBody, InputTensor, WantedOutput, read_body, texts_of, write_body

MODEL = "winnow"
PLATFORM = "winnow_onnx"
INPUTS = {"user_id": "BYTES", "item_id": "BYTES", "surface": "BYTES"}
OUTPUTS = {"score": "FP32", "confidence": "FP32", "label": "INT64", "known": "BOOL"}
_OPTIONAL = {"surface"}
_RUNS_IN_A_ROW = 16  # runs of the graph, one a user, before other requests get their turn
_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
_Place = int
_Ask = Callable[[str, Sequence[bytes], str | None], Answer]


class InProtocol(APIRoute):
    """A route that answers errors as the protocol does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request of this route."""
        answer = super().get_route_handler()

        async def answer_in_protocol(request: Request) -> Response:
            try:
                return await answer(request)
            except (WinnowError, HTTPException, ClientDisconnect) as error:
                return _refusal(error, request.state.request_id)

        return answer_in_protocol


@dataclass(frozen=True)
class Inference:
    """What one request asks."""

    item_ids: list[str]  # [N]
    user_ids: list[str]  # [1], or [N]
    surfaces: list[str] | None  # [1], [N], or for no surface none
    outputs: dict[str, bool]  # by name, in the order asked: whether the data is wanted in binary


def inference_routes(slot: Slot, scorer: Scorer, limits: Limits, settings: ServiceSettings) -> APIRouter:
    """Return the routes of the protocol. It has a document of its own, so ours leaves them out."""
    router = APIRouter(prefix="/v2", route_class=InProtocol, include_in_schema=False)

    @router.get("")
    async def server() -> dict[str, object]:
        """Say what answers."""
        return {"name": MODEL, "version": version_of("winnow-denoise"), "extensions": ["binary_tensor_data"]}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """Say that the process turns."""
        return {"live": True}

    @router.get("/health/ready")
    async def ready() -> dict[str, bool]:
        """Say that scores are answered; the built-in prior counts, as in /readyz."""
        return {"ready": True}

    @router.get("/models/{name}")
    @router.get("/models/{name}/versions/{version}")
    async def model(request: Request) -> dict[str, object]:
        """Say what goes in and comes out."""
        return metadata(_asked_for(slot.current, request))

    @router.get("/models/{name}/ready")
    @router.get("/models/{name}/versions/{version}/ready")
    async def model_ready(request: Request) -> dict[str, object]:
        """Say that the model answers; refuse if another is meant."""
        _asked_for(slot.current, request)
        return {"name": MODEL, "ready": True}

    @router.post("/models/{name}/infer")
    @router.post("/models/{name}/versions/{version}/infer")
    async def infer(request: Request) -> Response:
        """Score pairs of user and item."""
        with limits:
            body = await limits.body_of(dict(request.scope["headers"]), request.receive)
            sent, raw = read_body(body, request.headers.get(HEADER_LENGTH))
            wanted = parse_request(sent, raw, settings.max_candidates)
            servable = _asked_for(slot.current, request)  # once: this request sees this version only
            found = await _answers(wanted, partial(scorer.answer, servable))
            return _response(sent, wanted, servable, found)

    @router.api_route("/{path:path}", methods=_METHODS)
    async def nothing(request: Request) -> Response:
        """Refuse what the protocol does not have, or has not for this method."""
        for route in router.routes:
            if isinstance(route, APIRoute) and route.matches(request.scope)[0] is Match.PARTIAL:
                allowed = ", ".join(sorted(route.methods or ()))
                raise HTTPException(405, f"this path takes {allowed} only", {"allow": allowed})
        raise HTTPException(404, f"there is nothing at this path; start at /v2 or /v2/models/{MODEL}")

    return router


def metadata(servable: Servable) -> dict[str, object]:
    """Return the model's metadata; -1 is N, the number of pairs."""
    return {
        "name": MODEL,
        "versions": [servable.version],
        "platform": PLATFORM,
        "inputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in INPUTS.items()],
        "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in OUTPUTS.items()],
    }


def parse_request(body: InferBody, raw: Sequence[bytes], max_candidates: int) -> Inference:
    """Return what `body`, with `raw` as the inputs' binary data, asks. Raises an error of the 4xx kind."""
    _check_names("inputs", body.inputs, INPUTS)
    missing = INPUTS.keys() - _OPTIONAL - {tensor.name for tensor in body.inputs}
    if missing:
        raise InvalidInput(f"inputs lack {' and '.join(sorted(missing))}; only surface may be left out")
    tensors = zip(body.inputs, raw, strict=True)
    texts = {tensor.name: texts_of(tensor, data, max_candidates) for tensor, data in tensors}
    count = len(texts["item_id"])
    for name, found in texts.items():
        if len(found) not in (1, count):
            raise InvalidInput(f"{name} has {len(found)} elements; send 1, or {count} as of item_id")
    return Inference(texts["item_id"], texts["user_id"], texts.get("surface"), _wanted_outputs(body))


def _wanted_outputs(body: InferBody) -> dict[str, bool]:
    binary_by_default = bool(body.parameters and body.parameters.binary_data_output)
    if not body.outputs:
        return dict.fromkeys(OUTPUTS, binary_by_default)
    _check_names("outputs", body.outputs, OUTPUTS)
    wanted = {}
    for output in body.outputs:
        said = output.parameters
        if said and (said.classification is not None or said.shared_memory_region is not None):
            raise InvalidInput(f"output {output.name} asks for classification or shared memory; leave them out")
        binary = said.binary_data if said else None
        wanted[output.name] = binary_by_default if binary is None else binary
    return wanted


def _check_names(field: str, tensors: Sequence[InputTensor | WantedOutput], known: Collection[str]) -> None:
    """Raise InvalidInput if a name is unknown or comes twice."""
    names = [tensor.name for tensor in tensors]
    if not set(names) <= set(known):
        raise InvalidInput(f"one of the {field} has a name that is not known; known are {', '.join(known)}")
    if len(set(names)) < len(names):
        raise InvalidInput(f"{len(names)} {field} have {len(set(names))} different names; send each once")


def _asked_for(current: Servable, request: Request) -> Servable:
    """Return `current` if the path means it. Raises HTTPException 404 if not."""
    if request.path_params["name"] != MODEL:
        raise HTTPException(404, f"there is no such model; the only one is {MODEL}")
    if request.path_params.get("version", current.version) != current.version:
        raise HTTPException(404, f"this version is not served, {current.version} is; leave it out to ask whichever is")
    return current


async def _answers(wanted: Inference, ask: _Ask) -> dict[str, npt.NDArray[Any]]:
    """Ask once for each user on each surface; return every output by name, in the order of the items. Shapes [N]."""
    count = len(wanted.item_ids)
    found: dict[str, npt.NDArray[Any]] = {
        "score": np.empty(count, np.float32),
        "confidence": np.empty(count, np.float32),
        "label": np.empty(count, np.int64),
        "known": np.empty(count, np.bool_),
    }
    for run, (user_id, surface, places) in enumerate(_groups(wanted)):
        if run and run % _RUNS_IN_A_ROW == 0:
            await asyncio.sleep(0)
        answer = ask(user_id, [wanted.item_ids[place].encode() for place in places], surface)
        for name, values in found.items():
            values[places] = getattr(answer, name)
    return found


def _groups(wanted: Inference) -> Iterator[tuple[str, str | None, list[_Place]]]:
    """Yield user, surface, and the places of the items they are asked with."""
    count = len(wanted.item_ids)
    surfaces: Sequence[str | None] = wanted.surfaces or [None]
    places: dict[tuple[str, str | None], list[_Place]] = {}
    if len(wanted.user_ids) == len(surfaces) == 1:
        places[wanted.user_ids[0], surfaces[0]] = list(range(count))
    else:
        users, surfaces = _each(wanted.user_ids, count), _each(surfaces, count)
        for place, pair in enumerate(zip(users, surfaces, strict=True)):
            places.setdefault(pair, []).append(place)
    for (user_id, surface), own in places.items():
        yield user_id, surface, own


def _each(values: Sequence[Any], count: int) -> Sequence[Any]:
    return list(values) * count if len(values) == 1 else values


def _response(sent: InferBody, wanted: Inference, servable: Servable, found: dict[str, npt.NDArray[Any]]) -> Response:
    parameters: dict[str, object] = {"version": servable.version, "fallback": servable.fallback}
    if servable.trained_through_ms is not None:  # the protocol knows no null
        parameters["trained_through_ms"] = servable.trained_through_ms
    head: dict[str, object] = {"model_name": MODEL, "model_version": servable.version}
    if sent.id is not None:
        head["id"] = sent.id
    head["parameters"] = parameters
    values = {name: found[name] for name in wanted.outputs}
    body, head_bytes = write_body(head, values, OUTPUTS, {name for name, binary in wanted.outputs.items() if binary})
    if head_bytes is None:
        return Response(body, media_type="application/json")
    return Response(body, headers={HEADER_LENGTH: str(head_bytes)}, media_type="application/octet-stream")


def _refusal(error: Exception, request_id: str) -> Response:
    """Return the problem that `error` is, in the protocol's shape."""
    problem = problem_response(error, request_id)
    headers = {name: value for name, value in problem.headers.items() if not name.startswith("content-")}
    text = orjson.dumps({"error": orjson.loads(problem.body)["detail"]})
    return Response(text, problem.status_code, headers, media_type="application/json")

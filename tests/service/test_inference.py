"""The Open Inference Protocol: Triton's own client against a running service, the rest of the protocol in process."""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from anyio.from_thread import start_blocking_portal
from tritonclient.utils import InferenceServerException

from contract.pseudonyms import Pseudonyms
from contract.registry import Registry
from service.front import Front
from service.inference import OUTPUTS, inference_routes
from service.keys import KeyRing
from service.limits import Limits
from service.metrics import Metrics
from service.prior import PriorModel
from service.recent import RecentPositives
from service.scorer import Scorer
from service.servable import Answer
from service.settings import ServiceSettings
from service.slot import Slot
from service.tensors import HEADER_LENGTH
from tests.service.conftest import Client, ServiceProcess, metric, running_service, serving, until
from tests.service.open_inference import INFER, SECRET, asked, assert_refused, in_binary, prefixed
from tests.versions import ITEMS, Expected, promote_version, side_of

ASKED = [*ITEMS, "never seen"]


@dataclass(frozen=True)
class Served:
    """A running service, the version it serves, and Triton's client of it."""

    service: ServiceProcess
    version: str
    expected: Expected
    client: triton.InferenceServerClient


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    users, items = {"u1": 1, "u2": 2, "-7": 3}, {**ITEMS, "9000000001": 4}
    version, expected = promote_version(Registry(home / "registry"), users=users, items=items)
    with running_service(home) as service, triton.InferenceServerClient(service.url.removeprefix("http://")) as client:
        yield Served(service, version, expected, client)


def tensor(name: str, values: Sequence[str | int], binary: bool, *, column: bool = False) -> triton.InferInput:
    is_text = isinstance(values[0], str)
    array = np.array(values, np.object_ if is_text else np.int64)
    array = array[:, None] if column else array
    made = triton.InferInput(name, list(array.shape), "BYTES" if is_text else "INT64")
    return made.set_data_from_numpy(array, binary_data=binary)


def wanted(*names: str, binary: bool) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def v1_columns(url: str, user_id: str | int, candidates: list[Any], surface: str | None = None) -> dict[str, list[Any]]:
    """Return what POST /v1/score answers, in the order asked."""
    asked = {"user_id": user_id, "candidates": candidates, "surface": surface, "format": "columns"}
    columns: dict[str, list[Any]] = httpx.post(f"{url}/v1/score", json=asked, timeout=30).json()["columns"]
    order = [columns["item_id"].index(str(one)) for one in candidates]
    return {name: [values[place] for place in order] for name, values in columns.items()}


def test_tritons_client_finds_the_service_alive_and_ready(served: Served) -> None:
    assert served.client.is_server_live()
    assert served.client.is_server_ready()
    assert served.client.is_model_ready("winnow")
    assert served.client.is_model_ready("winnow", served.version)
    assert not served.client.is_model_ready("winnow", "999999")
    assert not served.client.is_model_ready("other")


def test_tritons_client_reads_what_goes_in_and_comes_out(served: Served) -> None:
    server, model = served.client.get_server_metadata(), served.client.get_model_metadata("winnow")
    assert (server["name"], server["extensions"]) == ("winnow", ["binary_tensor_data"])
    assert (model["name"], model["versions"]) == ("winnow", [served.version])
    assert {one["name"]: (one["datatype"], one["shape"]) for one in model["inputs"]} == {
        name: ("BYTES", [-1]) for name in ("user_id", "item_id", "surface")
    }
    assert {one["name"]: (one["datatype"], one["shape"]) for one in model["outputs"]} == {
        "score": ("FP32", [-1]),
        "confidence": ("FP32", [-1]),
        "label": ("INT64", [-1]),
        "known": ("BOOL", [-1]),
    }
    assert served.client.get_model_metadata("winnow", served.version) == model


@pytest.mark.parametrize("sent_binary", [False, True])
@pytest.mark.parametrize("answered_binary", [False, True])
def test_tritons_client_gets_what_v1_score_answers(served: Served, sent_binary: bool, answered_binary: bool) -> None:
    inputs = [
        tensor("user_id", ["u1"], sent_binary),
        tensor("item_id", ASKED, sent_binary),
        tensor("surface", ["feed"], sent_binary),
    ]
    outputs = wanted(*OUTPUTS, binary=answered_binary)
    found = served.client.infer("winnow", inputs, outputs=outputs, request_id="r-17")
    columns = v1_columns(served.service.url, "u1", ASKED, "feed")
    for name, kind in {"score": "f4", "confidence": "f4", "label": "i8", "known": "?"}.items():
        values = found.as_numpy(name)
        assert values.dtype == np.dtype(kind)
        assert values.tolist() == np.array(columns[name], kind).tolist()
    assert found.as_numpy("score") == pytest.approx(
        [served.expected.score("u1", item, side_of("feed")) for item in ASKED], abs=1e-6
    )
    assert found.as_numpy("known").tolist() == [True, True, True, False]
    answer = found.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r-17", "winnow", served.version)
    assert ("binary_data_size" in str(answer["outputs"])) == answered_binary


def test_tritons_client_asks_for_all_outputs_in_binary_by_naming_none(served: Served) -> None:
    found = served.client.infer("winnow", [tensor("user_id", ["u1"], True), tensor("item_id", ASKED, True)])
    described = found.get_response()["outputs"]
    assert [(one["name"], one["parameters"]["binary_data_size"]) for one in described] == [
        ("score", 16), ("confidence", 16), ("label", 32), ("known", 4)
    ]  # fmt: skip
    assert (
        found.as_numpy("score").tolist()
        == np.array(v1_columns(served.service.url, "u1", ASKED)["score"], np.float32).tolist()
    )


@pytest.mark.parametrize("binary", [False, True])
def test_integers_are_ids_as_their_digits(served: Served, binary: bool) -> None:
    items = [9_000_000_001, -1]
    found = served.client.infer("winnow", [tensor("user_id", [-7], binary), tensor("item_id", items, binary)])
    assert found.as_numpy("known").tolist() == [True, False]
    assert found.as_numpy("score") == pytest.approx(
        [served.expected.score("-7", str(item)) for item in items], abs=1e-6
    )


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_several_users_and_surfaces_are_each_scored_as_their_own_request(
    served: Served, binary: bool, column: bool
) -> None:
    users = ["u1", "u2", "u1", "stranger", "u2"]
    items = ["v3", "v3", "v1", "v2", "v1"]
    surfaces = ["feed", "feed", "tab", "tab", "feed"]
    inputs = [
        tensor("item_id", items, binary, column=column),
        tensor("surface", surfaces, binary, column=column),
        tensor("user_id", users, binary, column=column),
    ]
    found = served.client.infer("winnow", inputs, outputs=wanted("score", binary=binary))
    assert found.as_numpy("score").shape == (5,)
    assert found.as_numpy("score").tolist() == [
        np.float32(v1_columns(served.service.url, user, [item], surface)["score"][0])
        for user, item, surface in zip(users, items, surfaces, strict=True)
    ]


def test_more_users_than_runs_in_a_row_are_scattered_back_to_their_places(served: Served) -> None:
    users = [f"stranger {place // 2}" if place % 3 else "u2" for place in range(100)]
    items = [list(ITEMS)[place % 3] for place in range(100)]
    found = served.client.infer("winnow", [tensor("user_id", users, True), tensor("item_id", items, True)])
    assert found.as_numpy("score") == pytest.approx(
        [served.expected.score(user, item) for user, item in zip(users, items, strict=True)], abs=1e-6
    )


def test_tritons_client_is_told_why_it_is_refused(served: Served) -> None:
    with pytest.raises(InferenceServerException, match="only surface may be left out") as refused:
        served.client.infer("winnow", [tensor("item_id", ["v1"], True)])
    assert refused.value.status() == "422"
    with pytest.raises(InferenceServerException, match="the only one is winnow") as refused:
        served.client.get_model_metadata("other")
    assert refused.value.status() == "404"
    with pytest.raises(InferenceServerException, match=f"{served.version} is") as refused:
        served.client.infer("winnow", [tensor("item_id", ["v1"], True), tensor("user_id", ["u1"], True)], "999999")
    assert refused.value.status() == "404"


def test_a_request_as_kserves_client_sends_it_is_answered(client: Client, registry: Registry) -> None:
    items = prefixed(b"v1", b"v2")
    head = json.dumps(asked(item_id=in_binary(items), id="0190a5c2-8b1e", model_name="winnow")).encode()
    headers = {HEADER_LENGTH: str(len(head)), "content-type": "application/octet-stream"}
    answer = client.post(INFER, head + items, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert {**answer.json(), "outputs": []} == {
        "model_name": "winnow",
        "model_version": "prior",
        "id": "0190a5c2-8b1e",
        "parameters": {"version": "prior", "fallback": True},
        "outputs": [],
    }
    assert answer.json()["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [2], "data": [0.02, 0.02]},
        {"name": "confidence", "datatype": "FP32", "shape": [2], "data": [0.98, 0.98]},
        {"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 0]},
        {"name": "known", "datatype": "BOOL", "shape": [2], "data": [False, False]},
    ]


def test_the_binary_answer_is_laid_out_as_the_extension_says(client: Client) -> None:
    outputs = [
        {"name": "known", "parameters": {"binary_data": True}},
        {"name": "label", "parameters": {"binary_data": False}},
        {"name": "score"},
    ]
    answer = client.post(INFER, json=asked(outputs=outputs, parameters={"binary_data_output": True}))
    head_bytes = int(answer.headers[HEADER_LENGTH])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert json.loads(answer.content[:head_bytes])["outputs"] == [
        {"name": "known", "datatype": "BOOL", "shape": [2], "parameters": {"binary_data_size": 2}},
        {"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 0]},
        {"name": "score", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
    ]
    assert answer.content[head_bytes:] == b"\x00\x00" + struct.pack("<ff", 0.02, 0.02)


def test_the_answer_names_its_version_and_how_far_it_is_trained(registry: Registry, client: Client) -> None:
    version, _ = promote_version(registry, acknowledged_ms=1_795_593_600_120)
    until(lambda: serving(client) == version)
    answer = client.post(f"/v2/models/winnow/versions/{version}/infer", json=asked()).json()
    assert answer["parameters"] == {
        "version": version,
        "fallback": False,
        "trained_through_ms": 1_795_593_600_120,
    }
    assert "id" not in answer


def test_nested_rows_of_one_are_read_as_the_flat_ones(client: Client) -> None:
    nested = client.post(INFER, json=asked(item_id={"shape": [2, 1], "data": [["v1"], ["v2"]]}))
    assert nested.status_code == 200
    assert nested.json() == client.post(INFER, json=asked()).json()


def test_candidates_are_counted(client: Client) -> None:
    client.post(INFER, json=asked(user_id={"shape": [2], "data": ["u1", "u2"]}))
    assert metric(client, "winnow_score_candidates_total") == 2
    assert metric(client, "winnow_score_unknown_items_total") == 2
    assert metric(client, "winnow_score_unknown_users_total") == 2
    assert metric(client, f'winnow_requests_total{{route="{INFER.replace("winnow", "{name}")}",status="2xx"}}') == 1


def test_limits_of_the_service_are_said_in_the_protocols_shape(client: Client, settings: ServiceSettings) -> None:
    oversized = b" " * (settings.max_body_bytes + 1)
    assert_refused(client.post(INFER, oversized), 413, f"the bound is {settings.max_body_bytes}")
    assert_refused(client.post(INFER, json=asked(), headers={"content-encoding": "gzip"}), 415, "Content-Encoding")


@pytest.mark.parametrize("path", ["/v2/", "/v2/health", "/v2/models", "/v2/models/winnow/config", f"/v2/{SECRET}"])
def test_paths_that_the_protocol_has_not_are_refused_in_its_shape(client: Client, path: str) -> None:
    assert_refused(client.get(path), 404, "start at /v2 or /v2/models/winnow")


@pytest.mark.parametrize("suffix", ["", "/ready"])
def test_other_models_and_versions_are_not_found(client: Client, suffix: str) -> None:
    assert client.get(f"/v2/models/winnow/versions/prior{suffix}").status_code == 200
    assert_refused(client.get(f"/v2/models/{SECRET}{suffix}"), 404, "the only one is winnow")
    assert_refused(client.get(f"/v2/models/winnow/versions/{SECRET}{suffix}"), 404, "not served, prior is")


def test_a_method_that_a_path_does_not_take_is_refused_in_the_protocols_shape(client: Client) -> None:
    answer = client.get(INFER)
    assert_refused(answer, 405, "this path takes POST only")
    assert answer.headers["allow"] == "POST"
    assert_refused(client.post("/v2/health/live", json={}), 405, "this path takes GET only")


@dataclass(frozen=True)
class SwappedAway(PriorModel):
    """A servable that is no longer the current one as soon as it was asked."""

    slots: list[Slot] = field(default_factory=list)

    def answer(self, *asked: Any, **options: Any) -> Answer:
        self.slots[0].current = PriorModel(0.9, version="later")
        return super().answer(*asked, **options)


def test_a_swap_in_the_midst_of_a_request_changes_nothing_for_it(registry: Registry, settings: ServiceSettings) -> None:
    metrics = Metrics()
    limits, first = Limits(settings, metrics), SwappedAway(0.1, version="first")
    slot = Slot(registry, first, metrics)
    first.slots.append(slot)
    app = Front(limits, metrics, KeyRing(settings, metrics))
    app.include(inference_routes(slot, Scorer(RecentPositives(0), Pseudonyms(), metrics), limits, settings))
    users = [f"u{place}" for place in range(50)]
    each = {"shape": [50], "data": users}
    with start_blocking_portal() as portal:
        http = Client(portal, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service"))
        answer = http.post(INFER, json=asked(user_id=each, item_id=each)).json()
        assert http.get("/v2/models/winnow").json()["versions"] == ["later"]
    assert answer["model_version"] == "first"
    assert set(answer["outputs"][0]["data"]) == {0.1}

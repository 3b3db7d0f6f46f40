"""The Python client: scores, feedback, labels, models and metrics of a running service, synchronous and asynchronous.

Needs nothing of Winnow but the contract. The two clients only send and wait; whether to try again is decided in
`winnow.retries`.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote

import httpx
import orjson
from pydantic import BaseModel, ValidationError

from contract.api import Candidate, FeedbackAccepted, LabelsResponse, ModelsResponse, Receipt, ScoreResponse
from contract.errors import InvalidInput
from contract.events import FeedbackEvent
from winnow.retries import Insisting, Outcome, RetryPolicy, ServiceUnavailable, answer_or_raise

Event = FeedbackEvent | Mapping[str, object]
Id = str | int
_Answer = TypeVar("_Answer", bound=BaseModel)


class Client:
    """A connection to one service. Safe to share between threads; close it, or use it as a context manager."""

    def __init__(self, url: str, api_key: str | None = None, policy: RetryPolicy | None = None) -> None:
        """Connect lazily to `url`, such as http://127.0.0.1:8080. Proxy settings of the environment are ignored."""
        self._policy = policy or RetryPolicy()
        self._http = httpx.Client(**_http_options(url, api_key))
        self.retries = 0  # attempts after the first, all calls together

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def score(
        self,
        user_id: Id,
        candidates: Sequence[Candidate | Id],
        surface: str | None = None,
        top_k: int | None = None,
        explain: bool = False,
        impressions: bool = False,
    ) -> ScoreResponse:
        """Rank candidates for a user. Raises InvalidInput, ServiceUnavailable.

        With `impressions` each item has an `impression_id` for its feedback to cite.
        """
        call = _score_call(user_id, candidates, surface, top_k, explain, impressions)
        return _parse(ScoreResponse, self._send(call))

    def feedback(self, events: Sequence[Event]) -> FeedbackAccepted:
        """Store events; when this returns they are on disk. An event without an `event_id` is given one.

        Raises InvalidInput, TooLarge (send fewer at once), ServiceUnavailable (repeat with the same event ids).
        """
        return _parse(FeedbackAccepted, self._send(_events_call("/v1/feedback", events)))

    def receipt(self, event_id: Id) -> Receipt:
        """Return what became of an event. Raises InvalidInput (no such event), ServiceUnavailable."""
        return _parse(Receipt, self._send(_receipt_call(event_id)))

    def labels(self, events: Sequence[Event]) -> LabelsResponse:
        """Label views that have ended; nothing is stored. Raises InvalidInput, TooLarge, ServiceUnavailable."""
        return _parse(LabelsResponse, self._send(_events_call("/v1/labels", events)))

    def models(self) -> ModelsResponse:
        """Return what is served and what the registry holds."""
        return _parse(ModelsResponse, self._send(_Call("GET", "/v1/models")))

    def metrics(self) -> str:
        """Return the service's metrics in the Prometheus text format."""
        return self._send(_Call("GET", "/metrics")).text

    def _send(self, call: "_Call") -> httpx.Response:
        insisting = Insisting(self._policy)
        while True:
            try:
                outcome: Outcome = self._http.request(*call[:2], content=call.body, timeout=insisting.timeout_s)
            except httpx.TransportError as error:
                outcome = error
            wait_s = insisting.wait_after(outcome)
            if wait_s is None:
                return answer_or_raise(outcome)
            self.retries += 1
            time.sleep(wait_s)


class AsyncClient:
    """`Client` for asyncio: the same calls, awaited."""

    def __init__(self, url: str, api_key: str | None = None, policy: RetryPolicy | None = None) -> None:
        """Connect lazily to `url`, such as http://127.0.0.1:8080. Proxy settings of the environment are ignored."""
        self._policy = policy or RetryPolicy()
        self._http = httpx.AsyncClient(**_http_options(url, api_key))
        self.retries = 0  # attempts after the first, all calls together

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def score(
        self,
        user_id: Id,
        candidates: Sequence[Candidate | Id],
        surface: str | None = None,
        top_k: int | None = None,
        explain: bool = False,
        impressions: bool = False,
    ) -> ScoreResponse:
        """Rank candidates for a user. Raises InvalidInput, ServiceUnavailable.

        With `impressions` each item has an `impression_id` for its feedback to cite.
        """
        call = _score_call(user_id, candidates, surface, top_k, explain, impressions)
        return _parse(ScoreResponse, await self._send(call))

    async def feedback(self, events: Sequence[Event]) -> FeedbackAccepted:
        """Store events; when this returns they are on disk. An event without an `event_id` is given one.

        Raises InvalidInput, TooLarge (send fewer at once), ServiceUnavailable (repeat with the same event ids).
        """
        return _parse(FeedbackAccepted, await self._send(_events_call("/v1/feedback", events)))

    async def receipt(self, event_id: Id) -> Receipt:
        """Return what became of an event. Raises InvalidInput (no such event), ServiceUnavailable."""
        return _parse(Receipt, await self._send(_receipt_call(event_id)))

    async def labels(self, events: Sequence[Event]) -> LabelsResponse:
        """Label views that have ended; nothing is stored. Raises InvalidInput, TooLarge, ServiceUnavailable."""
        return _parse(LabelsResponse, await self._send(_events_call("/v1/labels", events)))

    async def models(self) -> ModelsResponse:
        """Return what is served and what the registry holds."""
        return _parse(ModelsResponse, await self._send(_Call("GET", "/v1/models")))

    async def metrics(self) -> str:
        """Return the service's metrics in the Prometheus text format."""
        return (await self._send(_Call("GET", "/metrics"))).text

    async def _send(self, call: "_Call") -> httpx.Response:
        insisting = Insisting(self._policy)
        while True:
            try:
                outcome: Outcome = await self._http.request(*call[:2], content=call.body, timeout=insisting.timeout_s)
            except httpx.TransportError as error:
                outcome = error
            wait_s = insisting.wait_after(outcome)
            if wait_s is None:
                return answer_or_raise(outcome)
            self.retries += 1
            await asyncio.sleep(wait_s)


class _Call(NamedTuple):
    method: str
    path: str
    body: bytes | None = None


def _score_call(
    user_id: Id,
    candidates: Sequence[Candidate | Id],
    surface: str | None,
    top_k: int | None,
    explain: bool,
    impressions: bool,
) -> _Call:
    body: dict[str, object] = {
        "user_id": user_id,
        "candidates": [c.model_dump(exclude_none=True) if isinstance(c, Candidate) else c for c in candidates],
        "explain": explain,
    }
    given = {name: value for name, value in (("surface", surface), ("top_k", top_k)) if value is not None}
    if impressions:
        given["impressions"] = True
    return _Call("POST", "/v1/score", _json_of(body | given))


def _events_call(path: str, events: Sequence[Event]) -> _Call:
    return _Call("POST", path, _json_of([_with_id(event) for event in events]))


def _receipt_call(event_id: Id) -> _Call:
    return _Call("GET", f"/v1/feedback/{quote(str(event_id), safe='')}")


def _with_id(event: Event) -> Mapping[str, object]:
    if isinstance(event, FeedbackEvent):
        return event.model_dump(mode="json", exclude_none=True)
    return event if event.get("event_id") is not None else {**event, "event_id": str(uuid.uuid4())}


def _json_of(body: object) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"the request cannot be written as JSON: {error}") from error


def _parse(kind: type[_Answer], response: httpx.Response) -> _Answer:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceUnavailable(f"{response.url} does not answer like a Winnow service; check the URL") from error


def _http_options(url: str, api_key: str | None) -> dict[str, Any]:
    headers = {"content-type": "application/json", "user-agent": "winnow-client"}
    if api_key is not None:
        headers["authorization"] = f"Bearer {api_key}"
    return {"base_url": url, "headers": headers, "trust_env": False}

"""POST /labels: views that have ended in, what they say about viewer and item out. Nothing is stored."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter

from contract.api import LabelsResponse
from contract.belief import Floats
from contract.events import NEGATIVE_ACTIONS, POSITIVE_ACTIONS, Events
from contract.pseudonyms import Pseudonyms
from contract.watch import Flag
from service.feedback import EXAMPLE, NDJSON, is_ndjson, parse_events
from service.front import Asked, hot_router
from service.metrics import Metrics
from service.openapi import body_of, problems
from service.reasons import reasons_of
from service.score import serving_model
from service.servable import Beliefs, Servable
from service.settings import ServiceSettings
from service.slot import Slot

_FLAGS = [flag.name.lower() for flag in Flag]


@dataclass(frozen=True)
class Labels:
    """What is concluded of N views. Arrays of length N."""

    w: Floats
    label: npt.NDArray[np.int64]
    confidence: Floats


def label_routes(slot: Slot, pseudonyms: Pseudonyms, settings: ServiceSettings, metrics: Metrics) -> APIRouter:
    """Return the routes that label."""
    router = hot_router("labels")

    @router.post(
        "/v1/labels",
        response_model=LabelsResponse,
        responses=problems(400, 408, 413, 415, 422, 503),
        openapi_extra=body_of(EXAMPLE, "FeedbackEvent", "FeedbackBatch", lines_type=NDJSON),
    )
    @router.post("/labels", include_in_schema=False)
    async def labels(body: bytes, asked: Asked) -> bytes:
        """Label views that have ended: the events of `POST /v1/feedback`, none of which is stored."""
        sent = parse_events(body, is_ndjson(asked.headers), settings.max_batch_events)
        events = Events.from_lists(pseudonyms.events(sent))
        servable = slot.current  # once: this request sees this version only
        beliefs = await _believe(servable, events)
        metrics.labelled.inc(len(events))
        return render(events, beliefs, servable, asked.request_id)

    return router


def conclude(actions: npt.NDArray[np.uint8], relevance: Floats, threshold: float) -> Labels:
    """Return labels: what the viewer said, negative words before positive ones, else whether relevance > threshold.

    Confidence is the probability that the label is right, so below the threshold of a rare event it may be under 1/2.
    Shapes [N], [N] -> [N].
    """
    negative = (actions & NEGATIVE_ACTIONS) != 0
    said = negative | ((actions & POSITIVE_ACTIONS) != 0)
    w = np.where(said, np.where(negative, 0.0, 1.0), relevance)
    label = np.where(said, ~negative, relevance > threshold).astype(np.int64)
    return Labels(w, label, np.where(label == 1, w, 1.0 - w))


def render(events: Events, beliefs: Beliefs, servable: Servable, request_id: str) -> bytes:
    """Return the body of the response, in the order of the events."""
    found = conclude(events.actions, beliefs.relevance, beliefs.threshold)
    columns: dict[str, Sequence[object]] = {
        "event_id": events.event_id.tolist(),
        "w": _short(found.w),
        "label": found.label.tolist(),
        "confidence": _short(found.confidence),
        "evidence": _evidence(beliefs),
        "reasons": reasons_of(events, beliefs, servable.fallback),
        "known_user": beliefs.known_user.tolist(),
        "known_item": beliefs.known_item.tolist(),
    }
    body = {
        "request_id": request_id,
        "model": serving_model(servable),
        "labels": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


async def _believe(servable: Servable, events: Events) -> Beliefs:
    """With histories each user is a run of the graph: too many to hold up the event loop for."""
    return await asyncio.to_thread(servable.believe, events) if servable.history else servable.believe(events)


def _evidence(beliefs: Beliefs) -> list[dict[str, object]]:
    evidence = beliefs.evidence
    quantile = np.where(beliefs.on_record, evidence.quantile, np.nan)  # nan is written as null
    return [
        {"quantile": one, "flag": _FLAGS[flag], "llr": {"cell": cell, "surface": surface}}
        for one, flag, (cell, surface) in zip(
            _short(quantile), evidence.flag.tolist(), evidence.llr.astype(np.float32), strict=True
        )
    ]


def _short(values: Floats) -> list[np.float32]:
    """Return values as float32 scalars, which keep their short decimal form in JSON."""
    return list(values.astype(np.float32))

"""POST /v1/labels says what an ended view means, from what was said, the watch, and the model, and stores nothing."""

from typing import Any

import numpy as np
import pytest

from contract.api import Label, LabelsResponse
from contract.event_log import EventLog
from contract.events import Events, FeedbackEvent
from contract.registry import Registry
from contract.watch import DURATION_BUCKETS, WATCH_BINS
from service.labels import conclude
from service.proof import open_version
from service.reasons import reasons_of
from service.settings import ServiceSettings
from tests.service.conftest import Client, client_of, metric, serving, until
from tests.versions import CALIBRATION, Expected, promote_version, write_version


def event(number: int = 0, **fields: object) -> dict[str, Any]:
    given = {"event_id": f"e{number}", "user_id": "u1", "item_id": "v1", "at": 1, "watch_ms": 4_200}
    return given | {"duration_ms": 9_000} | fields


def ask(client: Client, *events: dict[str, Any]) -> LabelsResponse:
    response = client.post("/v1/labels", json={"events": events})
    assert response.status_code == 200, response.text
    return LabelsResponse.model_validate_json(response.content)


@pytest.fixture
def champion(registry: Registry) -> Expected:
    return promote_version(registry)[1]


def test_what_nobody_spoke_of_is_labelled_by_relevance_and_threshold(
    champion: Expected, registry: Registry, client: Client
) -> None:
    sent = [event(n, watch_ms=n * 800, user_id=f"u{n % 4}", item_id=f"v{n % 5}") for n in range(40)]
    found = ask(client, *sent)
    events = Events.from_models([FeedbackEvent.model_validate(one) for one in sent])
    believed = open_version(registry.path("000001")).believe(events).relevance
    assert [one.event_id for one in found.labels] == [one["event_id"] for one in sent]
    assert [one.w for one in found.labels] == pytest.approx(believed.tolist(), abs=1e-6)
    assert {one.label for one in found.labels} == {0, 1}
    for one in found.labels:
        assert one.label == int(one.w > CALIBRATION.threshold)
        assert one.confidence == pytest.approx(one.w if one.label else 1 - one.w)
    assert (found.model.version, found.model.fallback) == ("000001", False)


@pytest.mark.parametrize(
    ("actions", "label", "reason"),
    [
        (["like"], 1, "the viewer said like"),
        (["share", "comment"], 1, "the viewer said share and comment"),
        (["not_interested"], 0, "the viewer said not interested"),
        (["like", "report"], 0, "the viewer said like and report: what is negative counts"),
    ],
)
def test_an_explicit_word_wins(champion: Expected, client: Client, actions: list[str], label: int, reason: str) -> None:
    for watch_ms in (0, 9_000, None):
        [one] = ask(client, event(watch_ms=watch_ms, actions=actions)).labels
        assert (one.label, one.w, one.confidence) == (label, float(label), 1.0)
        assert one.reasons[0] == reason


def test_the_evidence_is_that_of_the_versions_own_tables(champion: Expected, client: Client) -> None:
    [one] = ask(client, event(surface="feed")).labels
    columns = Events.from_models([FeedbackEvent.model_validate(event(surface="feed"))])
    said = champion.belief.tables().read(columns.watch_ms, columns.duration_ms, columns.foreground, columns.surface)
    assert one.evidence.quantile == pytest.approx(said.quantile[0])
    assert [one.evidence.llr.cell, one.evidence.llr.surface] == pytest.approx(said.llr[0].tolist())
    assert one.reasons[0] == f"watched longer than {100 * said.quantile[0]:.0f} % of views of like length on record"
    assert f"{np.exp(said.llr[0, 0]):.2g} times the usual" in one.reasons[1]


def reasons(client: Client, **fields: object) -> str:
    return "; ".join(ask(client, event() | fields).labels[0].reasons)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"watch_ms": 9_000}, "watched to the end"),
        ({"watch_ms": 20_000}, "watched more than once"),
        ({"watch_ms": 10}, "swiped away"),
        ({"duration_ms": None}, "of views of unknown length on record"),
        ({"foreground": False}, "the video played in the background: its length says nothing"),
        ({"watch_ms": None, "actions": ["like"]}, "no watch was reported"),
        ({"user_id": "stranger"}, "the viewer is new to the model"),
        ({"item_id": "unheard of"}, "the item is new to the model: judged by what was sent"),
        ({}, "viewer and item alone: 0."),
    ],
)
def test_the_reasons_are_plain_sentences(
    champion: Expected, client: Client, fields: dict[str, object], reason: str
) -> None:
    assert reason in reasons(client, **fields)


def test_a_background_view_and_no_view_say_nothing_by_their_length(champion: Expected, client: Client) -> None:
    silent = ask(client, event(foreground=False), event(watch_ms=None, actions=["like"])).labels
    assert [(one.evidence.llr.cell, one.evidence.llr.surface) for one in silent] == [(0.0, 0.0)] * 2
    assert [(one.evidence.quantile is None, one.evidence.flag) for one in silent] == [(False, "none"), (True, "none")]
    short, long = ask(client, event(foreground=False, watch_ms=1), event(foreground=False, watch_ms=9_000)).labels
    assert short.w == long.w


def test_an_unknown_item_is_judged_by_its_features_and_a_known_one_is_not(champion: Expected, client: Client) -> None:
    for item, differ in (("unheard of", True), ("v1", False)):
        plain, rich = ask(client, event(item_id=item), event(item_id=item, author_id="a7", tags=["39"])).labels
        assert (plain.w != rich.w, plain.known_item) == (differ, not differ)


def test_a_batch_is_labelled_like_its_events_one_by_one(registry: Registry, client: Client) -> None:
    version, _ = promote_version(registry, history=3)
    until(lambda: serving(client) == version)
    sent = [event(n, user_id=f"u{n % 3}", item_id=f"v{n % 4}", surface="feed") for n in range(12)]
    alone = [ask(client, one).labels[0].w for one in sent]
    assert [one.w for one in ask(client, *sent).labels] == pytest.approx(alone, abs=1e-6)


def test_before_the_first_version_the_prior_answers_flagged(client: Client) -> None:
    found = ask(client, event(0), event(1, actions=["like"]), event(2, actions=["report"]))
    assert (found.model.version, found.model.fallback) == ("prior", True)
    assert [(one.w, one.label, one.confidence) for one in found.labels] == [
        (0.02, 0, 0.98),
        (1.0, 1, 1.0),
        (0.0, 0, 1.0),
    ]
    assert found.labels[0].evidence.quantile is None
    assert found.labels[0].reasons == [
        "no views of like length are on record",
        "no model is learned yet, so everything has the usual rate: 0.02",
    ]


def test_nothing_is_stored_and_no_log_is_needed(client: Client, settings: ServiceSettings, log_url: str) -> None:
    ask(client, event())
    log = EventLog(log_url)
    assert log.read_after({}, 10).entries == []
    log.close()
    assert metric(client, "winnow_labels_events_total") == 1
    assert metric(client, "winnow_feedback_acknowledged_events_total") == 0
    with client_of(settings.model_copy(update={"redis_url": None})) as unlogged:
        assert len(ask(unlogged, event()).labels) == 1


def test_every_shape_of_body_and_the_bare_alias_are_taken(client: Client) -> None:
    for body in (event(), [event()], {"events": [event()]}):
        assert len(client.post("/labels", json=body).json()["labels"]) == 1
    assert metric(client, 'winnow_requests_total{route="/v1/labels",status="2xx"}') == 3


def test_too_many_events_are_refused_with_the_bound(settings: ServiceSettings) -> None:
    with client_of(settings.model_copy(update={"max_batch_events": 2})) as client:
        problem = client.post("/v1/labels", json=[event()] * 3).json()
    assert (problem["status"], problem["detail"][:41]) == (413, "3 events in one request, the bound is 2; ")


def test_confidence_is_the_probability_that_the_label_is_right() -> None:
    """Draw what viewers really think from relevance itself: among labels of like confidence that share is right."""
    random = np.random.default_rng(1)
    relevance = random.beta(0.5, 4.0, 200_000)
    liked = random.random(len(relevance)) < relevance
    found = conclude(np.zeros(len(relevance), np.uint8), relevance, threshold=0.25)
    right = found.label == liked
    bins = (found.confidence * 20).astype(int)
    for place in np.unique(bins):
        inside = bins == place
        if inside.sum() > 1_000:
            assert right[inside].mean() == pytest.approx(found.confidence[inside].mean(), abs=0.03)


def test_a_bucket_without_views_on_record_compares_with_nothing(tmp_path: Any) -> None:
    write_version(tmp_path / "000001")
    version = open_version(tmp_path / "000001")
    version._watches.histogram[:] = np.zeros((DURATION_BUCKETS, WATCH_BINS))
    events = Events.from_models([FeedbackEvent.model_validate(event(watch_ms=9_000))])
    [said] = reasons_of(events, version.believe(events), fallback=False)
    assert said[:2] == ["watched to the end", "no views of like length are on record"]


def test_the_documented_example_of_a_label_is_one() -> None:
    fields = Label.model_json_schema()["properties"]
    shown = {name: field["examples"][0] for name, field in fields.items() if "examples" in field}
    assert shown["label"] == 1
    assert shown["confidence"] == shown["w"]

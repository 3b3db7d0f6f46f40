"""HTTP bodies, as pydantic models: what the service accepts and answers, and what the client relies on.

Requests are validated from bytes. Responses are documented by these models and built as plain dicts on the hot path.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.events import MAX_MS, MAX_TAGS, ExternalId

MAX_TOP_K = 10_000
IMPRESSION = "AQGiEbf8AAAAAAAAACqq4DTliUc9BPsj1bu4IRdX"


class Candidate(BaseModel):
    """One item to score, with what the caller knows of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    item_id: ExternalId = Field(description="The item; text or integer.", examples=["v2"])
    author_id: ExternalId | None = Field(default=None, description="Whose video it is.", examples=["a7"])
    tags: list[ExternalId] = Field(default_factory=list, max_length=MAX_TAGS, description="Topics.", examples=[["39"]])
    duration_ms: int | None = Field(default=None, ge=0, le=MAX_MS, description="Length in ms.", examples=[9000])


class ScoreRequest(BaseModel):
    """Body of `POST /v1/score`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user_id: ExternalId = Field(description="For whom; text or integer.", examples=["u1"])
    candidates: list[Candidate | ExternalId] = Field(
        min_length=1, description="Item ids, or objects with side features.", examples=[["v1", {"item_id": "v2"}]]
    )
    surface: ExternalId | None = Field(default=None, description="Where they would be shown.", examples=["feed"])
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] | None = Field(
        default=None, description="Return only the best k; all by default.", examples=[50]
    )
    format: Literal["items", "columns"] = Field(
        default="items", description="Rows, or one array a field (smaller).", examples=["items"]
    )
    explain: bool = Field(
        default=False, description="Add to each item the parts its logit is made of.", examples=[True]
    )
    impressions: bool = Field(
        default=False, description="Add to each item a signed impression id, for feedback to cite.", examples=[False]
    )


class ScoreBatchRequest(BaseModel):
    """Body of `POST /v1/score:batch`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    requests: list[ScoreRequest] = Field(
        min_length=1,
        description="One a user; all are answered by the same version.",
        examples=[[{"user_id": "u1", "candidates": ["v1", "v2"]}]],
    )


class Reasons(BaseModel):
    """The parts of a logit; they sum to it."""

    base: float = Field(description="What holds for everyone.", examples=[-4.1])
    user: float = Field(description="How readily this user likes things.", examples=[0.4])
    item: float = Field(description="How readily this item is liked.", examples=[1.2])
    match: float = Field(description="How well the two fit.", examples=[0.1])
    context: float = Field(
        description="Where it is shown, and for an unseen item what it is: author, tags, length.", examples=[-0.2]
    )


class ScoredItem(BaseModel):
    """One candidate's answer."""

    item_id: str = Field(description="As sent, integers as text.", examples=["v2"])
    score: float = Field(description="Calibrated probability of explicit positive feedback.", examples=[0.071])
    label: Literal[0, 1] = Field(description="Pseudo-label: 1 where the score exceeds the threshold.", examples=[0])
    confidence: float = Field(description="Calibrated probability that the label is right.", examples=[0.93])
    known: bool = Field(
        description="Whether the model has a row of its own for the item; without one the score comes from the viewer, "
        "the surface, and what was sent of author, tags and duration.",
        examples=[True],
    )
    reasons: Reasons | None = Field(default=None, description="With `explain` only.")
    impression_id: str | None = Field(
        default=None, description="With `impressions` only: proves this exposure.", examples=[IMPRESSION]
    )


class ScoreColumns(BaseModel):
    """All answers, one array a field, in ranked order."""

    item_id: list[str] = Field(examples=[["v2", "v1"]])
    score: list[float] = Field(examples=[[0.071, 0.02]])
    label: list[Literal[0, 1]] = Field(examples=[[0, 0]])
    confidence: list[float] = Field(examples=[[0.93, 0.98]])
    known: list[bool] = Field(examples=[[True, False]])
    reasons: list[Reasons] | None = Field(default=None, description="With `explain` only.")
    impression_id: list[str] | None = Field(
        default=None, description="With `impressions` only.", examples=[[IMPRESSION, IMPRESSION]]
    )


class ServingModel(BaseModel):
    """Which version answered."""

    version: str = Field(description="Registry version; `prior` before the first.", examples=["000042"])
    trained_through: str | None = Field(
        description="Acknowledgement time up to which events were learned, RFC 3339.",
        examples=["2026-11-24T08:00:00.120Z"],
    )
    age_s: float | None = Field(description="Seconds since `trained_through`.", examples=[1.7])
    fallback: bool = Field(description="True if the built-in prior answered.", examples=[False])


class ScoreResponse(BaseModel):
    """Answer of `POST /v1/score`, best first."""

    request_id: str = Field(examples=["5f0c6c1e4f3a4a35"])
    model: ServingModel
    known_user: bool = Field(description="Whether the model has a row of its own for the user.", examples=[True])
    items: list[ScoredItem] | None = Field(default=None, description="With `format: items`.")
    columns: ScoreColumns | None = Field(default=None, description="With `format: columns`.")


class UserScores(BaseModel):
    """One user's answer in a batch, best first."""

    user_id: str = Field(description="As sent, integers as text.", examples=["u1"])
    known_user: bool = Field(description="Whether the model has a row of its own for the user.", examples=[True])
    items: list[ScoredItem] | None = Field(default=None, description="With `format: items`.")
    columns: ScoreColumns | None = Field(default=None, description="With `format: columns`.")


class ScoreBatchResponse(BaseModel):
    """Answer of `POST /v1/score:batch`."""

    request_id: str = Field(examples=["5f0c6c1e4f3a4a35"])
    model: ServingModel
    results: list[UserScores] = Field(description="One a request, in the order sent.")


class LikelihoodRatios(BaseModel):
    """How telling a watch is: log ratios of how likely explicit positives are after one like it; 0 says nothing."""

    cell: float = Field(description="By decile of the quantile and flag.", examples=[1.7])
    surface: float = Field(description="By surface and decile of the quantile.", examples=[0.3])


class WatchSays(BaseModel):
    """What the watch itself says."""

    quantile: float | None = Field(
        description="Share of views of like duration that were shorter; null without a watch, or with none on record.",
        examples=[0.83],
    )
    flag: Literal["none", "swipe", "complete", "loop"] = Field(description="Kind of watch.", examples=["complete"])
    llr: LikelihoodRatios


class Label(BaseModel):
    """What one ended view says about the viewer and the item."""

    event_id: str = Field(description="As sent, integers as text.", examples=["0190a5c2-8b1e-7cc3-98c4-dc0c0c07398f"])
    w: float = Field(
        description="Relevance: calibrated probability that the viewer liked it; 1 or 0 where the viewer said so.",
        examples=[0.62],
    )
    label: Literal[0, 1] = Field(
        description="What the viewer said, negative words before positive ones; else 1 where w exceeds the threshold.",
        examples=[1],
    )
    confidence: float = Field(description="Calibrated probability that the label is right.", examples=[0.62])
    evidence: WatchSays
    reasons: list[str] = Field(
        description="Why, in plain sentences.",
        examples=[["watched longer than 83 % of views of like length on record", "viewer and item alone: 0.021"]],
    )
    known_user: bool = Field(description="Whether the model has a row of its own for the viewer.", examples=[True])
    known_item: bool = Field(description="Whether the model has a row of its own for the item.", examples=[True])


class LabelsResponse(BaseModel):
    """Answer of `POST /v1/labels`. Nothing of what was sent is stored."""

    request_id: str = Field(examples=["5f0c6c1e4f3a4a35"])
    model: ServingModel
    labels: list[Label] = Field(description="One an event, in the order sent.")


class FeedbackAccepted(BaseModel):
    """Answer 202 of `POST /v1/feedback`: these events are on disk."""

    accepted: int = Field(description="Events stored.", examples=[256])
    event_ids: list[str] = Field(description="In the order sent.", examples=[["0190a5c2-8b1e-7cc3-98c4-dc0c0c07398f"]])


class ReceiptTrained(BaseModel):
    """How an event was learned."""

    checkpoint: int | None = Field(
        description="The first that has it; null in rows of an earlier release.", examples=[12]
    )
    held_out: bool = Field(description="Whether it only judges: two in a hundred train nothing.", examples=[False])
    capped: bool = Field(description="Whether its user had said too much for it to count in full.", examples=[False])


class ReceiptServed(BaseModel):
    """The first version that was served and had learned up to an event."""

    version: str = Field(examples=["000042"])
    promoted_ms: int = Field(description="Epoch ms at which it became the champion.", examples=[1795593602000])


class Receipt(BaseModel):
    """Answer of `GET /v1/feedback/{event_id}`."""

    event_id: str = Field(examples=["0190a5c2-8b1e-7cc3-98c4-dc0c0c07398f"])
    state: Literal["accepted", "trained", "served", "dead_letter"] = Field(examples=["served"])
    accepted_ms: int = Field(description="Epoch ms at which the log took it.", examples=[1795593600120])
    trained: ReceiptTrained | None = Field(description="Once it is learned.")
    served: ReceiptServed | None = Field(description="Once a version that has it was served.")
    dead_letter: str | None = Field(description="Why it was put aside, if it was.", examples=[None])


class ModelSummary(BaseModel):
    """One version of the registry."""

    version: str = Field(examples=["000042"])
    state: Literal["champion", "candidate", "quarantined"] = Field(examples=["champion"])
    created_at: str = Field(description="RFC 3339.", examples=["2026-11-24T08:00:01Z"])
    trained_through: str | None = Field(examples=["2026-11-24T08:00:00.120Z"])
    events: int = Field(description="Events behind the version.", examples=[48213])
    metrics: dict[str, float | None] = Field(examples=[{"auc": 0.74, "ece": 0.001}])


class ServedModel(BaseModel):
    """One version this process has taken over, and when."""

    version: str = Field(examples=["000042"])
    served_since_ms: int = Field(description="Epoch ms of the swap in this process.", examples=[1795593602000])
    trained_through_ms: int | None = Field(description="Epoch ms of acknowledgement.", examples=[1795593600120])


class ModelsResponse(BaseModel):
    """Answer of `GET /v1/models`."""

    serving: ServingModel
    pinned: bool = Field(description="Whether an operator pinned the champion.", examples=[False])
    versions: list[ModelSummary] = Field(description="Newest first.")
    served: list[ServedModel] = Field(description="What this process took over, oldest first, the last 1,000.")
    refused: dict[str, str] = Field(description="Versions this process refused, with the reason.", examples=[{}])


class FieldError(BaseModel):
    """One thing wrong with a body."""

    field: str = Field(description="Where, as a path.", examples=["events.3.watch_ms"])
    problem: str = Field(description="What is wrong and what is allowed.", examples=["should be at least 0"])


class Problem(BaseModel):
    """An error, RFC 9457 problem details. It never repeats the body."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 of 256 events is not valid; nothing was stored"])
    request_id: str | None = Field(default=None, examples=["5f0c6c1e4f3a4a35"])
    errors: list[FieldError] = Field(default_factory=list)

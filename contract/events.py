"""One finished exposure or explicit action: as callers send it, and in columns.

`FeedbackEvent` is the edge: pydantic validates bytes from outside. `EventLists` is what validation hands on, one list
a field. `Events` is the inside: one NumPy array a field, and keys. `contract.blocks` packs them for the log.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contract.hashing import Keys, event_keys, id_keys

ABSENT = -1  # watch_ms, duration_ms, position, foreground: not given
MAX_ID_CHARACTERS = 128
MAX_MS = 2_000_000_000  # 23 days
MAX_TAGS = 16
MAX_POSITION = 30_000
MAX_AT_MS = 32_503_680_000_000  # the year 3000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Action(StrEnum):
    """What a viewer said explicitly."""

    LIKE = "like"
    FOLLOW = "follow"
    SHARE = "share"
    COMMENT = "comment"
    DISLIKE = "dislike"
    NOT_INTERESTED = "not_interested"
    REPORT = "report"

    @property
    def bit(self) -> int:
        """The action's place in the packed `actions` byte."""
        return 1 << _ACTIONS.index(self)


_ACTIONS = list(Action)
_BITS = {action: action.bit for action in Action}
POSITIVE_ACTIONS = Action.LIKE.bit | Action.FOLLOW.bit | Action.SHARE.bit | Action.COMMENT.bit
NEGATIVE_ACTIONS = Action.DISLIKE.bit | Action.NOT_INTERESTED.bit | Action.REPORT.bit


def action_names(mask: int) -> list[str]:
    """Return the names in a packed `actions` byte."""
    return [action.value for action in _ACTIONS if mask & action.bit]


def action_mask(actions: Sequence[Action]) -> int:
    """Return the packed `actions` byte; one said twice counts once."""
    return sum([_BITS[action] for action in set(actions)]) if actions else 0


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _text_of(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def fit_for_ids(text: str) -> bool:
    """Return whether ids made of this text hold no control characters and no lone surrogates."""
    return text.isprintable() or not _CONTROL.search(text)  # what is printable holds neither, and is found 20 x faster


def _without_control(value: str) -> str:
    if not fit_for_ids(value):
        raise ValueError("control characters and lone surrogates are not allowed in an id")
    return value


ExternalId = Annotated[
    str,
    BeforeValidator(_text_of, json_schema_input_type=str | int),
    Field(min_length=1, max_length=MAX_ID_CHARACTERS),
    AfterValidator(_without_control),
]


def epoch_ms(value: Any) -> Any:
    """Return the epoch milliseconds of an ISO 8601 / RFC 3339 time with its offset; anything but text as it is.

    Raises ValueError if the text is no such time.
    """
    if not isinstance(value, str):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("not a time; send epoch milliseconds or RFC 3339 such as 2026-11-24T08:00:00Z") from None
    if at.tzinfo is None:
        raise ValueError("a time without an offset is ambiguous; end it with Z or +hh:mm")
    return (at - _EPOCH) // timedelta(milliseconds=1)  # whole numbers: floats lose a millisecond now and then


class FeedbackEvent(BaseModel):
    """One finished exposure, or one explicit action, as `POST /feedback` takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    event_id: ExternalId = Field(
        description="Made by the sender, unique within the user. Retrying with the same id is always safe.",
        examples=["0190a5c2-8b1e-7cc3-98c4-dc0c0c07398f"],
    )
    user_id: ExternalId = Field(description="Who watched; text or integer.", examples=["u1"])
    item_id: ExternalId = Field(description="What was watched; text or integer.", examples=["v2"])
    at: Annotated[int, BeforeValidator(epoch_ms, json_schema_input_type=int | str)] = Field(
        ge=0,
        le=MAX_AT_MS,
        description="When the view ended: epoch milliseconds, or RFC 3339 with its offset.",
        examples=["2026-11-24T08:00:00Z", 1795593600000],
    )
    watch_ms: int | None = Field(
        default=None,
        ge=0,
        le=MAX_MS,
        description="Watched, in ms; absent for an action without a view.",
        examples=[4200],
    )
    duration_ms: int | None = Field(
        default=None, ge=0, le=MAX_MS, description="Length of the video in ms; absent or 0 if unknown.", examples=[9000]
    )
    actions: list[Annotated[Action, Field(strict=False)]] = Field(
        default_factory=list, max_length=len(_ACTIONS), description="Explicit feedback.", examples=[["like"]]
    )
    surface: ExternalId | None = Field(default=None, description="Where it was shown.", examples=["feed"])
    author_id: ExternalId | None = Field(default=None, description="Whose video it is.", examples=["a7"])
    tags: list[ExternalId] = Field(default_factory=list, max_length=MAX_TAGS, description="Topics.", examples=[["39"]])
    position: int | None = Field(
        default=None, ge=0, le=MAX_POSITION, description="Place in the slate, from 0.", examples=[3]
    )
    foreground: bool | None = Field(default=None, description="Whether the app was in front.", examples=[True])
    impression_id: ExternalId | None = Field(default=None, description="From the ranker, if it names impressions.")

    @model_validator(mode="after")
    def _says_something(self) -> "FeedbackEvent":
        if self.watch_ms is None and not self.actions:
            raise ValueError("an event needs watch_ms, or at least one action")
        return self


Texts = npt.NDArray[np.object_]
TAG_SEPARATOR = "\x1f"  # a control character, which no id may hold


class EventLists(NamedTuple):
    """Validated events in columns of plain values, all of length N: cheap to make of one event, cheap to join.

    Numbers that were not given are ABSENT, texts "".
    """

    event_id: Sequence[str]
    user_id: Sequence[str]
    item_id: Sequence[str]
    at_ms: Sequence[int]
    watch_ms: Sequence[int]
    duration_ms: Sequence[int]
    actions: Sequence[int]  # bit masks of Action
    surface: Sequence[str]
    author_id: Sequence[str]
    tags: Sequence[str]  # joined by U+001F
    position: Sequence[int]
    foreground: Sequence[int]
    impression_id: Sequence[str]

    @property
    def number(self) -> int:
        """How many events there are."""
        return len(self.event_id)

    @classmethod
    def of_models(cls, events: Sequence[FeedbackEvent]) -> "EventLists":
        """Return validated events as lists."""
        return cls(
            event_id=[event.event_id for event in events],
            user_id=[event.user_id for event in events],
            item_id=[event.item_id for event in events],
            at_ms=[event.at for event in events],
            watch_ms=[_or_absent(event.watch_ms) for event in events],
            duration_ms=[_or_absent(event.duration_ms) for event in events],
            actions=[action_mask(event.actions) for event in events],
            surface=[event.surface or "" for event in events],
            author_id=[event.author_id or "" for event in events],
            tags=[TAG_SEPARATOR.join(event.tags) for event in events],
            position=[_or_absent(event.position) for event in events],
            foreground=[_or_absent(event.foreground) for event in events],
            impression_id=[event.impression_id or "" for event in events],
        )

    @classmethod
    def joined(cls, parts: Sequence["EventLists"]) -> "EventLists":
        """Return all events of the parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(*[list(chain.from_iterable(lists)) for lists in zip(*parts, strict=True)])


@dataclass(frozen=True)
class Events:
    """Events in columns, all of length N. Text columns hold str, "" where a field was not given."""

    event_key: Keys
    user_key: Keys
    item_key: Keys
    at_ms: npt.NDArray[np.int64]
    watch_ms: npt.NDArray[np.int32]  # ABSENT where not given
    duration_ms: npt.NDArray[np.int32]  # ABSENT or 0 where unknown
    actions: npt.NDArray[np.uint8]  # bit mask of Action
    position: npt.NDArray[np.int16]
    foreground: npt.NDArray[np.int8]  # ABSENT, 0 or 1
    event_id: Texts
    user_id: Texts
    item_id: Texts
    surface: Texts
    author_id: Texts
    tags: Texts  # joined by U+001F
    impression_id: Texts

    def __len__(self) -> int:
        return len(self.event_key)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> "Events":
        """Return the chosen events, in the order of the index."""
        return Events(**{name: getattr(self, name)[index] for name in COLUMNS})

    @classmethod
    def concatenate(cls, parts: Sequence["Events"]) -> "Events":
        """Return all events of the parts, in order. At least one part."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS})

    @classmethod
    def from_lists(cls, lists: EventLists) -> "Events":
        """Return validated events in arrays, with their keys."""
        user_key = id_keys(lists.user_id)
        return cls(
            event_key=event_keys(lists.event_id, user_key),
            user_key=user_key,
            item_key=id_keys(lists.item_id),
            at_ms=np.array(lists.at_ms, np.int64),
            watch_ms=np.array(lists.watch_ms, np.int32),
            duration_ms=np.array(lists.duration_ms, np.int32),
            actions=np.array(lists.actions, np.uint8),
            position=np.array(lists.position, np.int16),
            foreground=np.array(lists.foreground, np.int8),
            **{name: texts_of(getattr(lists, name)) for name in TEXT_COLUMNS},
        )

    @classmethod
    def from_models(cls, events: Sequence[FeedbackEvent]) -> "Events":
        """Return validated events in arrays, with their keys."""
        return cls.from_lists(EventLists.of_models(events))


COLUMNS = [field.name for field in fields(Events)]
TEXT_COLUMNS = ["event_id", "user_id", "item_id", "surface", "author_id", "tags", "impression_id"]


def texts_of(values: Sequence[str]) -> Texts:
    """Return texts as a column."""
    return np.array(values, dtype=object)


def _or_absent(value: int | None) -> int:
    return ABSENT if value is None else int(value)

"""One finished exposure or explicit action: as callers send it, and packed in columns as the log keeps it.

`FeedbackEvent` is the edge: pydantic validates bytes from outside. `Events` is the inside: one NumPy array per field.
`encode_block` and `decode_block` are the packed form of one log entry:

    "WNW1" | n: uint32 | n fixed-width records (RECORD) | texts, field by field, UTF-8, lengths in the records

All numbers are little-endian. A block that breaks any of its own lengths or a bound raises CorruptBlock.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contract.errors import CorruptBlock
from contract.hashing import Keys, event_key, id_keys

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
POSITIVE_ACTIONS = Action.LIKE.bit | Action.FOLLOW.bit | Action.SHARE.bit | Action.COMMENT.bit
NEGATIVE_ACTIONS = Action.DISLIKE.bit | Action.NOT_INTERESTED.bit | Action.REPORT.bit


def action_names(mask: int) -> list[str]:
    """Return the names in a packed `actions` byte."""
    return [action.value for action in _ACTIONS if mask & action.bit]


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _text_of(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without_control(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("control characters and lone surrogates are not allowed in an id")
    return value


ExternalId = Annotated[
    str,
    BeforeValidator(_text_of, json_schema_input_type=str | int),
    Field(min_length=1, max_length=MAX_ID_CHARACTERS),
    AfterValidator(_without_control),
]


def _epoch_ms(value: Any) -> Any:
    """Accept epoch milliseconds, or an ISO 8601 / RFC 3339 time with its offset."""
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
    at: Annotated[int, BeforeValidator(_epoch_ms, json_schema_input_type=int | str)] = Field(
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
        return Events(**{name: getattr(self, name)[index] for name in _COLUMNS})

    @classmethod
    def concatenate(cls, parts: Sequence["Events"]) -> "Events":
        """Return all events of the parts, in order. At least one part."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS})

    @classmethod
    def from_models(cls, events: Sequence[FeedbackEvent]) -> "Events":
        """Return validated events in columns, with their keys."""
        user_key = id_keys([event.user_id for event in events])
        return cls(
            event_key=np.array(
                [event_key(event.event_id, int(user)) for event, user in zip(events, user_key, strict=True)], np.uint64
            ),
            user_key=user_key,
            item_key=id_keys([event.item_id for event in events]),
            at_ms=np.array([event.at for event in events], np.int64),
            watch_ms=np.array([_or_absent(event.watch_ms) for event in events], np.int32),
            duration_ms=np.array([_or_absent(event.duration_ms) for event in events], np.int32),
            actions=np.array([sum(action.bit for action in set(event.actions)) for event in events], np.uint8),
            position=np.array([_or_absent(event.position) for event in events], np.int16),
            foreground=np.array([_or_absent(event.foreground) for event in events], np.int8),
            event_id=_texts([event.event_id for event in events]),
            user_id=_texts([event.user_id for event in events]),
            item_id=_texts([event.item_id for event in events]),
            surface=_texts([event.surface or "" for event in events]),
            author_id=_texts([event.author_id or "" for event in events]),
            tags=_texts([TAG_SEPARATOR.join(event.tags) for event in events]),
            impression_id=_texts([event.impression_id or "" for event in events]),
        )


_COLUMNS = [field.name for field in fields(Events)]
_TEXT_COLUMNS = ["event_id", "user_id", "item_id", "surface", "author_id", "tags", "impression_id"]
_NUMBER_COLUMNS = [name for name in _COLUMNS if name not in _TEXT_COLUMNS]

RECORD = np.dtype(
    [
        ("event_key", "<u8"),
        ("user_key", "<u8"),
        ("item_key", "<u8"),
        ("at_ms", "<i8"),
        ("watch_ms", "<i4"),
        ("duration_ms", "<i4"),
        ("position", "<i2"),
        ("actions", "u1"),
        ("foreground", "i1"),
        *[(f"{name}_bytes", "<u2") for name in _TEXT_COLUMNS],
    ]
)
_MAGIC = b"WNW1"
_HEADER_BYTES = len(_MAGIC) + 4


def encode_block(events: Events) -> bytes:
    """Pack events, at least one, into the bytes of one log entry."""
    record = np.zeros(len(events), RECORD)
    for name in _NUMBER_COLUMNS:
        record[name] = getattr(events, name)
    texts: list[bytes] = []
    for name in _TEXT_COLUMNS:
        encoded = [text.encode() for text in getattr(events, name)]
        record[f"{name}_bytes"] = [len(text) for text in encoded]
        texts += encoded
    return b"".join([_MAGIC, len(events).to_bytes(4, "little"), record.tobytes(), *texts])


def decode_block(block: bytes) -> Events:
    """Unpack one log entry. Raises CorruptBlock if it is not a whole, well-formed block."""
    count = int.from_bytes(block[len(_MAGIC) : _HEADER_BYTES], "little")
    texts_at = _HEADER_BYTES + count * RECORD.itemsize
    if block[: len(_MAGIC)] != _MAGIC or len(block) < texts_at or count == 0:
        raise CorruptBlock(f"{len(block)} bytes that begin with {block[:8]!r} are no block of version 1")
    record = np.frombuffer(block, RECORD, count, _HEADER_BYTES)
    _check_bounds(record)
    columns: dict[str, Any] = {name: record[name].copy() for name in _NUMBER_COLUMNS}
    for name in _TEXT_COLUMNS:
        ends = texts_at + np.cumsum(record[f"{name}_bytes"], dtype=np.int64)
        columns[name] = _texts_between(block, texts_at, ends)
        texts_at = int(ends[-1])
    if texts_at != len(block):
        raise CorruptBlock(f"block of {len(block)} bytes should have {texts_at} by its own lengths")
    return Events(**columns)


def _check_bounds(record: npt.NDArray[np.void]) -> None:
    """Refuse numbers that validation would not have let in; the log is not trusted."""
    for name, low, high in [
        ("at_ms", 0, MAX_AT_MS),
        ("watch_ms", ABSENT, MAX_MS),
        ("duration_ms", ABSENT, MAX_MS),
        ("position", ABSENT, MAX_POSITION),
        ("foreground", ABSENT, 1),
        ("actions", 0, 2 ** len(_ACTIONS) - 1),
        ("user_key", 2, 2**64 - 1),
        ("item_key", 2, 2**64 - 1),
        ("event_key", 2, 2**64 - 1),
        *[(f"{name}_bytes", 0, 4 * MAX_ID_CHARACTERS) for name in _TEXT_COLUMNS if name != "tags"],
    ]:
        column = record[name]
        if int(column.min()) < low or int(column.max()) > high:
            raise CorruptBlock(f"{name} spans {column.min()}..{column.max()}, outside {low}..{high}")


def _texts_between(block: bytes, start: int, ends: npt.NDArray[np.int64]) -> Texts:
    try:
        if ends[-1] == start:
            return _texts([""] * len(ends))
        return _texts([block[a:b].decode() for a, b in _spans(start, ends)])
    except UnicodeDecodeError as error:
        raise CorruptBlock(f"block holds text that is not UTF-8: {error.reason} at byte {error.start}") from None


def _spans(start: int, ends: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    for end in ends.tolist():
        yield start, end
        start = end


def _texts(values: Sequence[str]) -> Texts:
    return np.array(values, dtype=object)


def _or_absent(value: int | None) -> int:
    return ABSENT if value is None else int(value)

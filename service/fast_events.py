"""The fast way from the bytes of a body to valid events: parsed and validated in one go.

`FeedbackEvent` stays the authority. Whatever this way takes, that one takes with the same values; whatever this way
does not take (it may be right all the same) goes there, to be taken after all or to be refused with reasons.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, TypeVar

import msgspec

from contract.events import (
    ABSENT,
    MAX_AT_MS,
    MAX_ID_CHARACTERS,
    MAX_MS,
    MAX_POSITION,
    MAX_TAGS,
    TAG_SEPARATOR,
    Action,
    EventLists,
    action_mask,
    epoch_ms,
    fit_for_ids,
)

_HEAD_BYTES = 64  # of a body: enough to tell its shape
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS)] | int
_Ms = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
_Value = TypeVar("_Value")


class EventRow(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields of `FeedbackEvent`, in its order and that of `EventLists`; what is not given is as it is there."""

    event_id: _Id
    user_id: _Id
    item_id: _Id
    at: Annotated[int, msgspec.Meta(ge=0, le=MAX_AT_MS)] | str
    watch_ms: _Ms | None = ABSENT
    duration_ms: _Ms | None = ABSENT
    actions: Annotated[tuple[Action, ...], msgspec.Meta(max_length=len(Action))] = ()
    surface: _Id | None = ""
    author_id: _Id | None = ""
    tags: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()
    position: Annotated[int, msgspec.Meta(ge=0, le=MAX_POSITION)] | None = ABSENT
    foreground: bool | None = ABSENT  # type: ignore[assignment]  # defaults are not validated
    impression_id: _Id | None = ""


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: list[EventRow]


_ONE = msgspec.json.Decoder(EventRow)
_ARRAY = msgspec.json.Decoder(list[EventRow])
_BATCH = msgspec.json.Decoder(_Batch)


def read_fast(body: bytes, in_lines: bool, max_events: int) -> EventLists | None:
    """Return the events in `body` if they are certainly valid and at most `max_events`, else None."""
    try:
        rows = _rows(body, in_lines, max_events)
        return _valid(rows, _is_plain(body)) if 0 < len(rows) <= max_events else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def lines_of(body: bytes) -> list[bytes]:
    """Return the lines of NDJSON that hold something."""
    return list(filter(bytes.strip, body.splitlines()))


def _rows(body: bytes, in_lines: bool, max_events: int) -> list[EventRow]:
    if in_lines:
        lines = lines_of(body)
        return [_ONE.decode(line) for line in lines] if len(lines) <= max_events else []
    head = body[:_HEAD_BYTES].lstrip()
    if head.startswith(b"["):
        return _ARRAY.decode(body)
    return _BATCH.decode(body).events if b'"events"' in head else [_ONE.decode(body)]


def _is_plain(body: bytes) -> bool:
    """Return whether no text in JSON can hold a control character: below U+0020 they have to be escaped."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def _valid(rows: list[EventRow], is_plain: bool) -> EventLists:
    """Return rows in lists, ids as text and times in ms. Raises ValueError for what a schema does not say."""
    columns: list[Any] = list(zip(*map(msgspec.structs.astuple, rows), strict=True))
    event_id, user_id, item_id, at, watch_ms, duration_ms, actions, *others = columns
    surface, author_id, tags, position, foreground, impression_id = others
    ids = [_texts(column) for column in (event_id, user_id, item_id, surface, author_id, impression_id)]
    if not (is_plain or fit_for_ids("".join(chain(*ids, *map(_texts, tags))))):
        raise ValueError("a control character in an id")
    masks = [action_mask(some) if some else 0 for some in actions]
    watch_ms = _numbers(watch_ms)
    if ABSENT in watch_ms and (ABSENT, 0) in zip(watch_ms, masks, strict=True):
        raise ValueError("an event that says nothing")
    event_id, user_id, item_id, surface, author_id, impression_id = ids
    return EventLists(
        event_id, user_id, item_id, _times(at), watch_ms, _numbers(duration_ms), masks, surface, author_id,
        _tags(tags), _numbers(position), _numbers(foreground), impression_id,
    )  # fmt: skip


def _texts(column: Sequence[str | int | None]) -> Sequence[str]:
    """Return ids as text, "" for null. Raises ValueError if one is too long."""
    try:
        "".join(column)  # type: ignore[arg-type]  # the quickest way to see that all are text
    except TypeError:
        texts = ["" if one is None else str(one) for one in column]
        if max(map(len, texts)) > MAX_ID_CHARACTERS:
            raise ValueError("an integer with too many digits for an id") from None
        return texts
    return column  # type: ignore[return-value]


def _tags(column: Sequence[Sequence[str | int]]) -> Sequence[str]:
    """Return each event's tags as one text. Raises ValueError if one is too long."""
    try:
        return [TAG_SEPARATOR.join(tags) for tags in column]  # type: ignore[arg-type]
    except TypeError:
        return [TAG_SEPARATOR.join(_texts(tags)) for tags in column]


def _numbers(column: Sequence[_Value | None]) -> Sequence[_Value | int]:
    return [ABSENT if one is None else one for one in column] if None in column else column  # type: ignore[return-value]


def _times(column: Sequence[int | str]) -> Sequence[int]:
    """Return epoch milliseconds. Raises ValueError for a text that is no time, or none within the bounds."""
    if {int} >= set(map(type, column)):
        return column  # type: ignore[return-value]
    times: list[int] = [epoch_ms(one) for one in column]
    if min(times) < 0 or max(times) > MAX_AT_MS:
        raise ValueError("a time out of bounds")
    return times

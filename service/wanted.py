"""What a score request wants, from bytes: parsed and validated in one go where it is plain, by pydantic where not.

`ScoreRequest` stays the authority. Whatever the fast ways take, they take with the same values; whatever they do not
take goes there, to be taken after all or to be refused with reasons. The fastest is for candidates that are plain
texts: their JSON is split where it stands, and no Python object but a slice of the body is made of an id.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec

from contract.api import MAX_TOP_K, Candidate, ScoreBatchRequest, ScoreRequest
from contract.events import MAX_ID_CHARACTERS, MAX_MS, MAX_TAGS, TAG_SEPARATOR
from service.parsing import check_count, check_fields, is_plain, parse_json, validate
from service.servable import NOTHING_TOLD, Told

_SETTING = "WINNOW_MAX_CANDIDATES"
_Body = TypeVar("_Body")


class Wanted(NamedTuple):
    """One user's candidates, and how the answer should look."""

    user_id: str
    item_ids: Sequence[bytes]  # UTF-8
    told: Mapping[int, Told]  # by place among the candidates
    surface: str | None
    top_k: int | None
    columns: bool
    explain: bool
    impressions: bool


_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
_Id = _Text | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Candidate(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    item_id: _Id
    author_id: _Id | None = None
    tags: Annotated[list[_Id], msgspec.Meta(max_length=MAX_TAGS)] = []
    duration_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)] | None = None


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of `ScoreRequest`; an id may be any integer there, here one of 64 bits."""

    user_id: _Id
    surface: _Id | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOP_K)] | None = None
    format: Literal["items", "columns"] = "items"
    explain: bool = False
    impressions: bool = False


class _OfAnything(_Fields, kw_only=True):
    candidates: Annotated[list[_Id | _Candidate], msgspec.Meta(min_length=1)]


class _OfTexts(_Fields, kw_only=True):
    candidates: msgspec.Raw


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    requests: Annotated[list[_OfAnything], msgspec.Meta(min_length=1)]


_TEXTS, _ANYTHING = msgspec.json.Decoder(_OfTexts), msgspec.json.Decoder(_OfAnything)
_BATCH = msgspec.json.Decoder(_Batch)


def wanted_of(body: bytes, max_candidates: int) -> Wanted:
    """Return what is wanted in `body`. Raises an error of the 4xx kind."""
    plain = _fast(_TEXTS, body)
    if plain is not None:
        item_ids = texts_in(bytes(plain.candidates))
        if item_ids is not None:
            check_count(item_ids, max_candidates, "candidates", _SETTING)
            return _of_fields(plain, item_ids, NOTHING_TOLD)
    found = _fast(_ANYTHING, body)
    if found is None:
        value = parse_json(body)
        _check(value, max_candidates)
        return _of_request(validate(ScoreRequest, value))
    check_count(found.candidates, max_candidates, "candidates", _SETTING)
    return _of_request(found)


def batch_of(body: bytes, max_candidates: int) -> list[Wanted]:
    """Return what is wanted in a body of several requests, `max_candidates` among them all. Raises as `wanted_of`."""
    found = _fast(_BATCH, body)
    if found is not None:
        given = chain.from_iterable([each.candidates for each in found.requests])
        check_count(list(given), max_candidates, "candidates", _SETTING)
        return [_of_request(each) for each in found.requests]
    value = parse_json(body)
    check_fields(value)
    requests = value.get("requests") if isinstance(value, dict) else None
    check_count(requests, max_candidates, "requests", _SETTING)  # each has a candidate or more
    asked = chain.from_iterable(map(_candidates_in, requests if isinstance(requests, list) else []))
    _check({"candidates": list(asked)}, max_candidates)
    check_fields(requests)
    return [_of_request(each) for each in validate(ScoreBatchRequest, value).requests]


def texts_in(array: bytes) -> list[bytes] | None:
    """Return the texts of a JSON array of plain JSON that is nothing but texts, each a valid id; None for any other."""
    if not (array.startswith(b'["') and array.endswith(b'"]')):
        return None
    texts = array[2:-2].split(b'","')
    if array.count(b'"') != 2 * len(texts):
        texts = array[2:-2].split(b'", "')  # as most writers of JSON have it
        if array.count(b'"') != 2 * len(texts):
            return None
    return None if b'""' in array or max(map(len, texts)) > MAX_ID_CHARACTERS else texts


def _fast(decoder: "msgspec.json.Decoder[_Body]", body: bytes) -> _Body | None:
    """Return the value of a body that is certainly valid, None for any other."""
    try:
        return decoder.decode(body) if is_plain(body) else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _check(value: object, max_candidates: int) -> None:
    """Raise an error of the 4xx kind for what would take long to refuse in all its parts."""
    check_fields(value)
    candidates = _candidates_in(value)
    check_count(candidates, max_candidates, "candidates", _SETTING)
    check_fields(candidates)


def _candidates_in(value: object) -> list[object]:
    given = value.get("candidates") if isinstance(value, dict) else None
    return given if isinstance(given, list) else []


def _of_request(found: _OfAnything | ScoreRequest) -> Wanted:
    given: Sequence[str | int | _Candidate | Candidate] = found.candidates
    told = {
        place: Told(
            "" if one.author_id is None else str(one.author_id),
            TAG_SEPARATOR.join(map(str, one.tags)),
            one.duration_ms or 0,
        )
        for place, one in enumerate(given)
        if not isinstance(one, str | int)
    }
    item_ids = [str(one if isinstance(one, str | int) else one.item_id).encode() for one in given]
    return _of_fields(found, item_ids, told)


def _of_fields(found: _Fields | ScoreRequest, item_ids: Sequence[bytes], told: Mapping[int, Told]) -> Wanted:
    surface = None if found.surface is None else str(found.surface)
    columns = found.format == "columns"
    return Wanted(str(found.user_id), item_ids, told, surface, found.top_k, columns, found.explain, found.impressions)

"""A body is the same in however many pieces it comes, and so is its bound."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from contract.errors import TooLarge
from service.limits import Limits
from service.metrics import Metrics
from service.settings import ServiceSettings

BOUND = 1_024
pieces = st.lists(st.binary(max_size=700), min_size=1, max_size=4)


async def body_in(parts: list[bytes], declared: int | None = None) -> bytes:
    """Return what is read of a body that comes in `parts`."""
    limits = Limits(ServiceSettings(home=Path("unused"), max_body_bytes=BOUND), Metrics())
    arriving = iter(enumerate(parts, 1))

    async def receive() -> Message:
        number, part = next(arriving)
        return {"type": "http.request", "body": part, "more_body": number < len(parts)}

    with limits:
        return await limits.body_of({} if declared is None else {b"content-length": b"%d" % declared}, receive)


@given(pieces)
def test_a_body_is_its_pieces_in_order_or_too_large(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    if len(whole) <= BOUND:
        assert asyncio.run(body_in(parts)) == whole
    else:
        with pytest.raises(TooLarge, match=f"the bound is {BOUND}; send fewer"):
            asyncio.run(body_in(parts))


@pytest.mark.parametrize(("declared", "refused"), [(BOUND, False), (BOUND + 1, True), (10**18, True), (10**30, False)])
def test_a_declared_length_over_the_bound_is_refused_unread(declared: int, refused: bool) -> None:
    if refused:
        with pytest.raises(TooLarge, match=f"has {declared} bytes or more"):
            asyncio.run(body_in([b"a"], declared))
    else:  # a length that no server lets through is left to what arrives
        assert asyncio.run(body_in([b"a"], declared)) == b"a"

"""How a trace goes on through the log: the parents of an entry, as W3C `traceparent`s.

One entry holds events of several requests, so it has several: its field `trace` holds those of at most `MOST_PARENTS`,
with a space between (decision 23).
"""

import re
from typing import NamedTuple

MOST_PARENTS = 8
_PARENT = re.compile(  # version 00 ends after the flags, a later one may go on; ff and ids of zeros are not valid
    rb"(?!ff)(?!00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)


class Parent(NamedTuple):
    """A span elsewhere, as its `traceparent` says."""

    trace_id: int
    span_id: int
    sampled: bool  # whether it is told to a collector


def parent_in(traceparent: bytes | None) -> Parent | None:
    """Read a `traceparent`; None if there is none, or none that is valid."""
    found = _PARENT.fullmatch(traceparent) if traceparent else None
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return Parent(trace_id, span_id, bool(flags & 1))


def parents_in(field: bytes) -> list[Parent]:
    """Read the field `trace` of an entry, `MOST_PARENTS` at most. What is not a `traceparent` is passed over."""
    read = map(parent_in, field.split(b" ", MOST_PARENTS)[:MOST_PARENTS])
    return [parent for parent in read if parent is not None]

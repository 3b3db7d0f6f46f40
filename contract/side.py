"""Side features: what is known of an exposure beside its two ids, as rows of one table that trainer and service share.

    row 0                 nothing
    rows 1..20            the duration bucket (21 is kept free)
    rows 32..R/16         a surface, by hash
    rows R/16..R/4        a tag, by hash
    rows R/4..R           an author, by hash

Texts are hashed into a fixed number of rows (Weinberger et al., ICML 2009), so memory is fixed, nothing needs to be
admitted, and the service finds the row of a text it has never seen. Two texts may share a row; a row never changes
owner.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from contract.events import TAG_SEPARATOR, Texts
from contract.remembered import Remembered
from contract.watch import DURATION_BUCKETS, duration_buckets

SideRows = npt.NDArray[np.int32]

MAX_SIDE_TAGS = 4
SURFACE, DURATION, AUTHOR = 0, 1, 2
TAGS = slice(3, 3 + MAX_SIDE_TAGS)
SIDE_SLOTS = 3 + MAX_SIDE_TAGS
ITEM_SLOTS = slice(1, SIDE_SLOTS)  # what belongs to the item; the surface belongs to the exposure

LEAST_SIDE_ROWS = 1_024
_FIRST_HASHED = 32


def side_rows(
    surface: Sequence[str] | Texts,
    author_id: Sequence[str] | Texts,
    tags: Sequence[str] | Texts,
    duration_ms: npt.NDArray[np.int32],
    table_rows: int,
) -> SideRows:
    """Return the rows of N exposures' side features, 0 for what is not known. Shape [N, SIDE_SLOTS].

    Texts are "" where unknown; `tags` are joined by U+001F, and the first MAX_SIDE_TAGS count. `duration_ms` is 0 or
    less where unknown. `table_rows`, at least LEAST_SIDE_ROWS, is the size of the side table.
    """
    found = np.zeros((len(duration_ms), SIDE_SLOTS), np.int32)
    count = len(duration_ms)
    surface_rows, author_rows = _rows_of("surface", table_rows), _rows_of("author", table_rows)
    tag_rows = _tag_rows_of(table_rows)
    found[:, SURFACE] = [surface_rows[text] for text in surface]
    found[:, DURATION] = np.where(duration_ms > 0, duration_buckets(duration_ms) + 1, 0)
    found[:, AUTHOR] = [author_rows[text] for text in author_id]
    flat = chain.from_iterable([tag_rows[text] for text in tags])
    found[:, TAGS] = np.fromiter(flat, np.int32, count * MAX_SIDE_TAGS).reshape(count, MAX_SIDE_TAGS)
    return found


def surface_row(surface: str | None, table_rows: int) -> int:
    """Return the row of one surface, 0 for none."""
    return _rows_of("surface", table_rows)[surface or ""]


def kind_bounds(table_rows: int) -> dict[str, tuple[int, int]]:
    """Return the first row, and one past the last, of each kind of side feature in a table of that size."""
    surfaces, tags = table_rows // 16, table_rows // 4
    return {
        "duration": (1, 1 + DURATION_BUCKETS),
        "surface": (_FIRST_HASHED, surfaces),
        "tag": (surfaces, tags),
        "author": (tags, table_rows),
    }


# Callers choose these texts: few enough of the longest ones are remembered, some 40 MB a kind.
@lru_cache(maxsize=8)
def _rows_of(kind: str, table_rows: int) -> Remembered[int]:
    first, end = kind_bounds(table_rows)[kind]
    return Remembered(lambda text: first + xxh3_64_intdigest(text.encode()) % (end - first) if text else 0, 1 << 16)


@lru_cache(maxsize=2)
def _tag_rows_of(table_rows: int) -> Remembered[tuple[int, ...]]:
    row_of = _rows_of("tag", table_rows)

    def rows(tags: str) -> tuple[int, ...]:
        some = [row_of[tag] for tag in tags.split(TAG_SEPARATOR)[:MAX_SIDE_TAGS]] if tags else []
        return (*some, *(0 for _ in range(MAX_SIDE_TAGS - len(some))))

    return Remembered(rows, 1 << 12)

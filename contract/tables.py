"""The tables of an open version, whole or delta, and what its graph is fed from them.

Shared by the service, which scores, and the trainer, which proves what it exported: a score is rows taken from three
spaces, a sum of plain terms, and one run of the graph (see contract.manifest).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from contract.errors import VersionCorrupt
from contract.histories import open_histories
from contract.side import ITEM_SLOTS, LEAST_SIDE_ROWS
from contract.space import EXPLICIT, SPACES, WATCH, RowNumbers, Space, SpaceShape, Table, open_space

Feed = dict[str, npt.NDArray[Any]]
MAX_HISTORY = 512


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spaces(_Frozen):
    """The sizes of the three spaces."""

    users: SpaceShape
    items: SpaceShape
    sides: SpaceShape

    def __getitem__(self, space: str) -> SpaceShape:
        shape: SpaceShape = getattr(self, space)
        return shape


class Base(_Frozen):
    """The whole version that a delta stands on."""

    version: str = Field(pattern=r"^[0-9]{1,12}$")
    manifest_sha256: str = Field(description="of its manifest, and so of all its files")


class Layout(_Frozen):
    """How the tables of a version lie on disk, and what they are summed with."""

    intercept: tuple[float, float] = Field(description="what every logit and every watch logit starts from")
    spaces: Spaces = Field(description="sizes of the version's own tables and indexes")
    side_rows: int = Field(ge=LEAST_SIDE_ROWS, description="rows that side features are hashed into, row 0 included")
    history: int = Field(default=0, ge=0, le=MAX_HISTORY, description="positives the graph reads of a user; 0 = none")
    base: Base | None = Field(default=None, description="of a delta, the version it stands on; null in a whole one")


class Terms(NamedTuple):
    """What adds to the logit (column 0) and the watch logit (column 1) of N pairs, each [1 or N, 2]."""

    intercept: Table
    user: Table
    item: Table
    context: Table

    def plain(self, head: int) -> Table:
        """Return their sum. Shape [N]."""
        total = self.intercept[:, head] + self.user[:, head] + self.context[:, head] + self.item[:, head]
        return np.asarray(total, np.float32)


@dataclass(frozen=True)
class Tables:
    """The three spaces of a version. Rows are numbered as contract.space does; side features by their hashes."""

    users: Space
    items: Space
    sides: Space
    intercept: Table  # [1, 2]
    histories: RowNumbers | None  # [rows of users, L]; in a whole version only

    def of_pairs(
        self, user: RowNumbers, item: RowNumbers, side: RowNumbers, history: RowNumbers | None = None
    ) -> tuple[Terms, Feed]:
        """Return the plain terms of N pairs, and what the graph is fed for them.

        Shapes [1 or N], [N], [1 or N, 7], and [1, L] where the version reads a history.
        """
        terms_of_user, user_vectors = self.users.take(user)
        terms_of_item, item_vectors = self.items.take(item)
        context = self.sides.take(self.sides.resolve(side))[0].sum(1)
        assert item_vectors is not None
        if self.sides.vectors is not None:
            told = self.sides.take(self.sides.resolve(side[:, ITEM_SLOTS]))[1]
            assert told is not None
            item_vectors += told.sum(1)
        terms = Terms(self.intercept, terms_of_user, terms_of_item, context)
        return terms, self._feed(terms, user_vectors, item_vectors, history)

    def of_one_user(
        self, user: int, item: RowNumbers, surface: int, history: RowNumbers | None = None
    ) -> tuple[Terms, Feed]:
        """Return the same for one user's items where nothing but a surface is told: most is not copied then."""
        user_terms, user_vector = self.users.row(user)
        shown, _ = self.sides.row(self.sides.resolve_one(surface))
        item_terms, item_vectors = self.items.take(item)
        assert item_vectors is not None
        terms = Terms(self.intercept, user_terms[None], item_terms, shown[None])
        return terms, self._feed(terms, user_vector, item_vectors, history)

    def _feed(self, terms: Terms, user: Table | None, item: Table, history: RowNumbers | None) -> Feed:
        feed: Feed = {"item": item, "plain": terms.plain(EXPLICIT)}
        if user is not None:
            feed["user"] = user
        if history is not None:
            past = self.items.take(history)[1]
            assert past is not None
            feed |= {"history": history.astype(np.int64, copy=False), "past": past}
        return feed


def watch_logit(terms: Terms) -> Table:
    """Return what counts tell of the watch before it. Shape [N]."""
    return terms.plain(WATCH)


def open_tables(directory: Path, layout: Layout, base: Tables | None) -> Tables:
    """Map a version's tables, read-only; a delta's on those of its base. Raises VersionCorrupt."""
    if (layout.base is None) != (base is None):
        raise VersionCorrupt("a delta needs its base, and a whole version has none")
    if layout.base is not None and layout.history:
        raise VersionCorrupt("a delta carries no histories")
    users, items, sides = (
        open_space(directory, name, layout.spaces[name], getattr(base, name) if base else None) for name in SPACES
    )
    if items.vectors is None:
        raise VersionCorrupt("items have no vectors, which every graph reads")
    if len(sides.terms) != layout.side_rows:
        raise VersionCorrupt(f"sides have {len(sides.terms)} rows, features are hashed into {layout.side_rows}")
    histories = None
    if layout.history:
        histories = open_histories(directory, layout.history, len(users.terms), len(items.terms))
    return Tables(users, items, sides, np.array([layout.intercept], np.float32), histories)

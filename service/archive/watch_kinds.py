"""What kind of watch a stored row is: its flag, or that it ran in the background, or that there was none. Pure."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contract.watch import Flag

KINDS = (*(flag.name.lower() for flag in Flag), "background")
BACKGROUND = KINDS.index("background")


def kinds_of(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return the place in KINDS of each row of a table with `flag`, `cell` and `watch_ms`; no watch is `none`. [N]."""
    flag = pc.index_in(pc.cast(table["flag"], pa.string()), pa.array(KINDS)).to_numpy()
    return np.where(in_background(table), BACKGROUND, flag).astype(np.int64)


def in_background(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Return which rows have a watch that says nothing by its length: no cell. Shape [N]."""
    return np.asarray(pc.and_(pc.is_null(table["cell"]), pc.is_valid(table["watch_ms"])).to_numpy(), np.bool_)

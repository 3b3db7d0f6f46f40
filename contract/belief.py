"""The annotator as a version carries it: what turns a logit and a watch into the probability of relevance.

    w = sigmoid(a_y y + a_v v + a_c LLR_cell + a_s LLR_surface + a_0)

y is the logit of explicit positive feedback and v that of the watch quantile, both from before the watch: a viewer who
was expected to watch, and did, tells less than one who was not. With nothing watched both LLR are 0.
The trainer fits the coefficients (`trainer.annotator`) and learns the tables (`trainer.evidence`).
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from contract.watch import CELLS, DURATION_BUCKETS, SURFACE_CELLS, WATCH_BINS, WatchTables

Floats = npt.NDArray[np.float64]

BELIEF_FILE = "belief.json"
COEFFICIENTS = 5
MAX_LLR = 50.0
_Watches = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=WATCH_BINS, max_length=WATCH_BINS)]
_Ratio = Annotated[float, Field(ge=-MAX_LLR, le=MAX_LLR)]


class Belief(BaseModel):
    """Coefficients (a_y, a_v, a_c, a_s, a_0) and the tables a watch is read against."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    coefficients: list[float] = Field(min_length=COEFFICIENTS, max_length=COEFFICIENTS)
    histogram: list[_Watches] = Field(min_length=DURATION_BUCKETS, max_length=DURATION_BUCKETS)
    cell_llr: list[_Ratio] = Field(min_length=CELLS, max_length=CELLS)
    surface_llr: list[_Ratio] = Field(min_length=SURFACE_CELLS, max_length=SURFACE_CELLS)

    def tables(self) -> WatchTables:
        """Return the tables as arrays."""
        return WatchTables(*(np.array(table) for table in (self.histogram, self.cell_llr, self.surface_llr)))


def relevance(coefficients: Floats, logit: Floats, watch_logit: Floats, llr: Floats) -> Floats:
    """Return w of N watches. Shapes [5], [N], [N], [N, 2] -> [N]."""
    a_y, a_v, a_c, a_s, a_0 = coefficients
    return sigmoid(a_y * logit + a_v * watch_logit + a_c * llr[:, 0] + a_s * llr[:, 1] + a_0)


def sigmoid(logit: Floats) -> Floats:
    """Return 1 / (1 + exp(-logit)) without overflow. Any shape."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def write_belief(directory: Path, belief: Belief) -> None:
    """Write a version's annotator."""
    (directory / BELIEF_FILE).write_text(belief.model_dump_json())


def read_belief(directory: Path) -> Belief:
    """Read a version's annotator. Raises OSError or ValueError (pydantic's ValidationError is one)."""
    return Belief.model_validate_json((directory / BELIEF_FILE).read_bytes())

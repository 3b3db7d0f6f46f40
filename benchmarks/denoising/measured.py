"""What measuring one cell of the bench gives, whatever the protocol."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Measured:
    """Figures by name; for some of them the same figure on each resample of users; and what was scored, row by row."""

    figures: dict[str, float]
    draws: dict[str, Floats]  # [RESAMPLES] each, by the name of their figure
    columns: dict[str, Floats]  # [rows measured] each, such as the logit

"""How long from an event's acknowledgement until a version that learned it was served. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from contract.api import ServedModel


def seconds_to_served(
    acknowledgements: Sequence[tuple[int, int]], served: Sequence[ServedModel]
) -> npt.NDArray[np.float64]:
    """Return the delay of each acknowledged event in seconds; inf where no served version covers it.

    `acknowledgements` are (epoch ms, events); `served` is in the order in which versions were taken over.
    """
    covering = [(m.trained_through_ms, m.served_since_ms) for m in served if m.trained_through_ms is not None]
    delays = [
        next(((since - at) / 1000 for through, since in covering if through > at), float("inf"))
        for at, _ in acknowledgements
    ]
    return np.repeat(np.maximum(delays, 0.0), [count for _, count in acknowledgements])

"""When events say they happened, beside when they were acknowledged: what is late, what claims the future. Pure.

An event's own time is the sender's word. Figures about time must not follow one wrong clock: they take no event as
later than five minutes after its acknowledgement. Late and future events are counted, and train once like all others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LATE_MS = 7 * 86_400_000
AHEAD_MS = 300_000

_Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Timeliness:
    """Of one batch."""

    latest_ms: int  # latest event time, as far as it can be believed
    late: int  # acknowledged more than seven days after
    future: int  # more than five minutes before


def timeliness(at_ms: _Times, acknowledged_ms: _Times) -> Timeliness:
    """Compare event times with the log's. Shapes [N], at least one."""
    believed = np.minimum(at_ms, acknowledged_ms + AHEAD_MS)
    return Timeliness(
        latest_ms=int(believed.max()),
        late=int((at_ms < acknowledged_ms - LATE_MS).sum()),
        future=int((believed < at_ms).sum()),
    )

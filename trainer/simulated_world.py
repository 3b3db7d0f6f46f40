"""The knobs of the simulated world, and their bounds."""

from dataclasses import dataclass, fields

from contract.errors import SetupError
from contract.events import MAX_POSITION


@dataclass(frozen=True)
class SimulatorConfig:
    """The world; shares and rates are per exposure."""

    users: int = 2_000
    items: int = 1_000  # at any one time
    factors: int = 8
    slate_size: int = 10  # candidates the policy chooses from, for each exposure
    session_length: int = 10  # exposures until a viewer's `position` starts at 0 again
    relevant_share: float = 0.25
    long_view_rate: float = 0.33
    like_rate: float = 0.0185
    follow_rate: float = 0.00107
    comment_rate: float = 0.0023
    share_rate: float = 0.00096
    dislike_rate: float = 0.00049
    position_bias: float = 0.005  # added to the chance of a swipe with each place in the session
    drift: float = 0.1  # share of the viewers' interests renewed in 100,000 exposures
    new_item_share: float = 0.001  # exposures at which a new item takes the place of another
    random_share: float = 0.01  # exposures drawn evenly from all items, whatever the policy
    duplicate_share: float = 0.01
    late_share: float = 0.002
    out_of_order_share: float = 0.01
    unknown_duration_share: float = 0.016
    start_ms: int = 1_650_812_400_000
    mean_gap_ms: float = 20.0  # between exposures, at least 1

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name in _COUNTS and not 1 <= value <= _COUNTS[name]:
                raise SetupError(f"simulator: {name} is {value}; it must be from 1 to {_COUNTS[name]}")
            if name.endswith(("_share", "_rate", "_bias")) and not 0.0 <= value <= 1.0:
                raise SetupError(f"simulator: {name} is {value}; it must be from 0 to 1")
        if self.drift < 0 or self.start_ms < 0:
            raise SetupError(f"simulator: drift {self.drift} and start_ms {self.start_ms} must be at least 0")


_COUNTS = {
    "users": 10**8,
    "items": 10**8,
    "factors": 1_000,
    "slate_size": 10_000,
    "session_length": MAX_POSITION,
    "mean_gap_ms": 3_600_000,
}

"""Events for logs that are written without a service: the same for the same seed."""

import numpy as np

from contract.events import Action, Events, FeedbackEvent


def drawn(count: int, seed: int, prefix: str) -> Events:
    """Return watches of 50 users and 80 items, one in ten liked."""
    dice = np.random.default_rng(seed)
    return Events.from_models(
        [
            FeedbackEvent(
                event_id=f"{prefix}{n}",
                user_id=f"u{dice.integers(50)}",
                item_id=f"v{dice.integers(80)}",
                at=1_650_000_000_000 + n,
                watch_ms=int(dice.integers(500, 60_000)),
                duration_ms=30_000,
                actions=[Action.LIKE] if dice.random() < 0.1 else [],
            )
            for n in range(count)
        ]
    )

"""Plays a watch log against a running service: POST /feedback in time order, every event until it is acknowledged."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from contract.errors import WinnowError
from contract.events import ABSENT, TAG_SEPARATOR, Events, action_names
from winnow.client import Client

BATCH_EVENTS = 256


@dataclass
class PlayReport:
    """What was sent and what became of it, as the sender saw it."""

    sent: int = 0
    acknowledged: int = 0
    failed_requests: int = 0  # given up after all retries
    retries: int = 0
    seconds: float = 0.0
    acknowledgements: list[tuple[int, int]] = field(default_factory=list)  # (epoch ms, events)


def play(
    blocks: Iterable[Events], client: Client, rate_per_s: float | None, on_progress: Callable[[PlayReport], None]
) -> PlayReport:
    """Send all events in order, at most `rate_per_s` of them a second (None: as fast as answers come).

    A refused request is counted and its events are not acknowledged; playing goes on.
    """
    report, started, retries_before = PlayReport(), time.monotonic(), client.retries
    for block in blocks:
        for start in range(0, len(block), BATCH_EVENTS):
            batch = as_json(block.take(slice(start, start + BATCH_EVENTS)))
            report.sent += len(batch)
            try:
                report.acknowledged += client.feedback(batch).accepted
                report.acknowledgements.append((time.time_ns() // 1_000_000, len(batch)))
            except WinnowError:
                report.failed_requests += 1
            report.retries = client.retries - retries_before
            report.seconds = time.monotonic() - started
            on_progress(report)
            if rate_per_s:
                time.sleep(max(0.0, started + report.sent / rate_per_s - time.monotonic()))
    return report


def as_json(events: Events) -> list[dict[str, object]]:
    """Return events as `POST /feedback` takes them, without what was not given."""
    return [
        {name: value for name, value in row.items() if value not in ("", [], ABSENT)}
        for row in (
            {
                "event_id": events.event_id[n],
                "user_id": events.user_id[n],
                "item_id": events.item_id[n],
                "at": int(events.at_ms[n]),
                "watch_ms": int(events.watch_ms[n]),
                "duration_ms": int(events.duration_ms[n]),
                "actions": action_names(int(events.actions[n])),
                "position": int(events.position[n]),
                "surface": events.surface[n],
                "author_id": events.author_id[n],
                "tags": events.tags[n].split(TAG_SEPARATOR) if events.tags[n] else [],
                "foreground": ABSENT if events.foreground[n] == ABSENT else bool(events.foreground[n]),
                "impression_id": events.impression_id[n],
            }
            for n in range(len(events))
        )
    ]

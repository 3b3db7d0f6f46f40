"""What went wrong: dead letters, damaged checkpoints and what the log itself says."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from contract.dead_letters import DeadLetters
from contract.errors import WinnowError
from contract.event_log import EventLog
from winnow.embedded_log import EmbeddedLog


@dataclass(frozen=True)
class Faults:
    """Faults that are still to be seen."""

    dead_letters: dict[str, tuple[int, int]] | None  # reason -> letters, events; None where the log cannot be asked
    why_not: str  # it cannot be asked
    damaged_checkpoints: list[str]


def faults_of(home: Path, redis_url: str | None, from_ms: int) -> Faults:
    """Return the faults of a home and its event log, which is started for it if it is the home's own."""
    damaged = [
        path.name
        for path in sorted((home / "checkpoints").glob("*.damaged"))
        if path.stat().st_mtime_ns // 1_000_000 >= from_ms
    ]
    if redis_url is None and not (home / "redis").is_dir():
        return Faults(None, "this home has no event log of its own, and none was named", damaged)
    try:
        with ExitStack() as stack:
            url = redis_url or stack.enter_context(EmbeddedLog(home)).url
            return Faults(_letters(EventLog(url)), "", damaged)
    except WinnowError as error:
        return Faults(None, str(error), damaged)


def _letters(log: EventLog) -> dict[str, tuple[int, int]]:
    letters: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for letter in DeadLetters(log).all():
        letters[letter.reason.value] += 1
        events[letter.reason.value] += letter.events
    return {reason: (count, events[reason]) for reason, count in sorted(letters.items())}

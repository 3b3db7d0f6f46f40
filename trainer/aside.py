"""Letters on their way to the dead-letter stream: the trainer goes on while the log does not take them (P8)."""

import structlog

from contract.dead_letters import DeadLetter, DeadLetters
from trainer.metrics import TrainerMetrics

log = structlog.get_logger()


class Aside:
    """What could not be used, in order, until the log has it. A checkpoint waits for it."""

    def __init__(self, letters: DeadLetters, metrics: TrainerMetrics) -> None:
        """Begin with nothing."""
        self._letters = letters
        self._metrics = metrics
        self._unsent: list[DeadLetter] = []

    def add(self, letter: DeadLetter) -> None:
        """Take in a letter."""
        self._unsent.append(letter)

    def send(self) -> None:
        """Write all letters. Raises LogUnavailable; what is not written is kept for the next time."""
        while self._unsent:
            letter = self._unsent[0]
            written = self._letters.put(letter)
            self._unsent.pop(0)
            if written:
                self._metrics.observe_dead_letter(letter.reason)
                log.warning("put_aside", source=letter.source, events=letter.events, reason=letter.reason.value)

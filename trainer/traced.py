"""A worker that is traced: each window, step, checkpoint and publication is a span.

A window is a trace of its own that links to the requests whose events are in it, a checkpoint and a publication are
such that link to the windows since the last (decision 23). Where traces are off there is no such worker.
"""

import time
from collections import deque
from typing import TYPE_CHECKING

from typing_extensions import override

from contract.event_log import Entry
from contract.events import Events
from contract.trace_parents import Parent, parents_in
from trainer.publish import Published
from trainer.step_report import StepReport
from trainer.worker import Worker

if TYPE_CHECKING:
    from contract.open_telemetry import Span, Traces

MOST_LINKS = 128  # OpenTelemetry's own bound of a span


def worker_class(traces: "Traces | None") -> type[Worker]:
    """Return the class of a worker that is traced by `traces`, if there are some."""
    return type("BoundWorker", (TracedWorker,), {"traces": traces}) if traces else Worker


class TracedWorker(Worker):
    """What `Worker` does, told to `traces`."""

    traces: "Traces"
    _window: "Span | None" = None

    @override
    def _begin(self) -> None:
        super()._begin()
        self._uncovered = deque[Parent](maxlen=MOST_LINKS)  # windows since the last checkpoint
        self._unpublished = deque[Parent](maxlen=MOST_LINKS)

    @override
    def _learn(self, entries: list[Entry]) -> None:
        span = self.traces.linked("train", _parents_of(entries), _facts_of(entries), consumes=True) if entries else None
        if span is None:
            super()._learn(entries)
            return
        before, self._window, self._steps = self.account, span, 0
        try:
            with span:
                super()._learn(entries)
                after = self.account
                span.note(
                    {
                        "winnow.events": after.read - before.read,
                        "winnow.trained": after.trained - before.trained,
                        "winnow.duplicates": after.duplicates - before.duplicates,
                        "winnow.dead": after.dead - before.dead,
                        "winnow.batches": self._steps,
                        "winnow.checkpoint": self.checkpoint_number,
                    }
                )
        finally:
            self._window = None
        self._uncovered.append(span.parent)
        self._unpublished.append(span.parent)

    @override
    def _step(self, events: Events) -> StepReport:
        if self._window is None:
            return super()._step(events)
        self._steps += 1
        with self._window.child("step", {"winnow.events": len(events)}):
            return super()._step(events)

    @override
    def checkpoint(self) -> None:
        """Do so within a span that links to the windows since the last."""
        span = self.traces.linked("checkpoint", self._uncovered, {"winnow.checkpoint": self.checkpoint_number + 1})
        if span is None:
            super().checkpoint()
        else:
            with span:
                super().checkpoint()
        self._uncovered.clear()

    @override
    def publish(self) -> Published:
        """Do so within a span that links to the windows since the last, and says what became of it."""
        span = self.traces.linked("publish", self._unpublished, {"winnow.checkpoint": self.checkpoint_number})
        if span is None:
            published = super().publish()
        else:
            with span:
                published = super().publish()
                span.note(
                    {
                        "winnow.version": published.version,
                        "winnow.delta": published.delta,
                        "winnow.verdict": published.verdict.value,
                        "winnow.promoted": published.promoted,
                    }
                )
        self._unpublished.clear()
        return published


def _parents_of(entries: list[Entry]) -> list[Parent]:
    """Return what a window's entries name, each once: a request may have events in several of them."""
    found = dict.fromkeys(parent for entry in entries if entry.trace for parent in parents_in(entry.trace))
    return list(found)[:MOST_LINKS]


def _facts_of(entries: list[Entry]) -> dict[str, int]:
    """Return what is known of a window before it is learned. Its age is by the log's clock against this machine's."""
    oldest_ms = min(entry.id.ms for entry in entries)
    return {
        "winnow.entries": len(entries),
        "winnow.window_from_ms": oldest_ms,
        "winnow.oldest_age_ms": time.time_ns() // 1_000_000 - oldest_ms,
    }

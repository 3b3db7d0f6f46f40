"""Spans as OpenTelemetry has them: how they begin, what they may say, and how they leave the process.

Imported only where traces are on (`contract.traces.traces_of`). Spans that are sampled wait in a bounded queue for a
thread that sends them; if the collector is away or slow they are dropped, which is logged once, and no request waits.
What a span says are numbers and versions: never an id of a user, an item or an event, and of an error its class only,
for its message may hold one.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Token
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from structlog.contextvars import bind_contextvars, reset_contextvars

from contract.trace_parents import Parent, parent_in

FLUSH_S = 3.0  # what is left when a process ends gets so long
Attributes = Mapping[str, str | int | float | bool]
NOTHING: Attributes = {}
log = structlog.get_logger()


class Span:
    """A span that is sampled and has begun. In `with`, or until `end`, log lines of its context have its ids."""

    __slots__ = ("_bound", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        """Take a span that has begun."""
        self._tracer = tracer
        self._span = span
        about = span.get_span_context()
        self._bound: Mapping[str, Token[Any]] = bind_contextvars(
            trace_id=f"{about.trace_id:032x}", span_id=f"{about.span_id:016x}"
        )

    def __enter__(self) -> Self:
        """Go on."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """End, with the class of the error if there is one."""
        self.end(kind.__name__ if kind else None)

    @property
    def parent(self) -> Parent:
        """What others go on from, or link to."""
        about = self._span.get_span_context()
        return Parent(about.trace_id, about.span_id, sampled=True)

    @property
    def traceparent(self) -> bytes:
        """The same in W3C's form."""
        trace_id, span_id, _ = self.parent
        return b"00-%032x-%016x-01" % (trace_id, span_id)

    def child(self, name: str, attributes: Attributes = NOTHING, kind: SpanKind = SpanKind.INTERNAL) -> "Span":
        """Begin a span within this one."""
        within = set_span_in_context(self._span, Context())
        return Span(self._tracer, self._tracer.start_span(name, within, kind, attributes))

    def producer(self, name: str, attributes: Attributes = NOTHING) -> "Span":
        """Begin a span within this one that hands something over to another process."""
        return self.child(name, attributes, SpanKind.PRODUCER)

    def note(self, attributes: Attributes) -> None:
        """Say more, unless it has ended: a request that is overdue ends before its group is appended."""
        if self._span.is_recording():
            self._span.set_attributes(attributes)

    def answered(self, status: int) -> None:
        """End the span of a request."""
        self._span.set_attribute("http.response.status_code", status)
        self.end(str(status) if status >= 500 else None)

    def end(self, error: str | None = None) -> None:
        """End; `error` is a class or a status, never a message."""
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        reset_contextvars(**self._bound)


class Traces:
    """Where one process begins its spans. Settings are the environment's, as OpenTelemetry reads them."""

    def __init__(self, process: str) -> None:
        """Begin to tell, as the service of the name `process` unless OTEL_SERVICE_NAME has another."""
        outage = _Outage()
        about = {
            "service.name": process,
            "service.version": version("winnow-denoise"),
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
        resource = Resource.create(about).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._heeds_callers = isinstance(self._provider.sampler, ParentBased)
        self._provider.sampler = _Following(self._provider.sampler)
        self._provider.add_span_processor(BatchSpanProcessor(_Told(OTLPSpanExporter(), outage)))
        self._tracer = self._provider.get_tracer("winnow", version("winnow-denoise"))

    def request(self, route: str, traceparent: bytes | None, request_id: str) -> Span | None:
        """Begin the span of a POST request, as part of the caller's trace if it has one; None if it is not sampled."""
        parent = parent_in(traceparent)
        if parent is not None and not parent.sampled and self._heeds_callers:
            return None  # as the sampler would say, at a tenth of the cost
        within = Context() if parent is None else set_span_in_context(NonRecordingSpan(_context_of(parent)), Context())
        about = {"http.request.method": "POST", "http.route": route, "winnow.request_id": request_id}
        return self._sampled(self._tracer.start_span(f"POST {route}", within, SpanKind.SERVER, about))

    def linked(
        self, name: str, parents: Iterable[Parent], attributes: Attributes = NOTHING, consumes: bool = False
    ) -> Span | None:
        """Begin a trace of its own that links to others; None if it is not sampled.

        Where one of those is sampled, so is this, whatever the rate: or a trace would end in the log.
        """
        links = [Link(_context_of(parent)) for parent in parents]
        kind = SpanKind.CONSUMER if consumes else SpanKind.INTERNAL
        return self._sampled(self._tracer.start_span(name, Context(), kind, attributes, links))

    def close(self) -> None:
        """Send what waits, for `FLUSH_S` at most."""
        last = threading.Thread(target=self._provider.shutdown, name="traces-flush", daemon=True)
        last.start()
        last.join(FLUSH_S)

    def _sampled(self, span: OtelSpan) -> Span | None:
        return Span(self._tracer, span) if span.is_recording() else None


class _Following(Sampler):
    """Samples what links to something sampled, and else as the environment says."""

    def __init__(self, said: Sampler) -> None:
        self._said = said

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        if self._said is not ALWAYS_OFF and links and any(link.context.trace_flags.sampled for link in links):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._said.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"Following({self._said.get_description()})"


class _Outage(logging.Handler):
    """Says once that spans do not arrive, with the first complaint of the libraries, and once that they do again."""

    def __init__(self) -> None:
        """Stand in for what the libraries would print."""
        super().__init__(logging.WARNING)
        self._libraries = logging.getLogger("opentelemetry")
        self._libraries.handlers, self._libraries.propagate = [self], False
        self._libraries.setLevel(logging.WARNING)
        self._lasts = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._lasts:
            return
        self._lasts = True
        self._libraries.setLevel(logging.CRITICAL)  # each span that is dropped would make a record, where it ended
        log.warning("traces_not_sent", reason=record.getMessage())

    def over(self) -> None:
        if self._lasts:
            self._lasts = False
            self._libraries.setLevel(logging.WARNING)
            log.info("traces_sent_again")


class _Told(SpanExporter):
    """The exporter, which tells of its success."""

    def __init__(self, exporter: SpanExporter, outage: _Outage) -> None:
        self._exporter = exporter
        self._outage = outage

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.over()
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _context_of(parent: Parent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)

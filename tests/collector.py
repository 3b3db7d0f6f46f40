"""A collector of traces: OTLP over HTTP as OpenTelemetry's own receives it, in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


@dataclass(frozen=True)
class HeardSpan:
    """One span as it arrived. Ids in hexadecimal digits; an empty `parent_id` is that of a root."""

    process: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: frozenset[tuple[str, str]]
    about: dict[str, str | int | float | bool]
    error: bool


class Collector:
    """What was heard so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    def spans(self, name: str = "") -> list[HeardSpan]:
        """Return every span, or those of a name."""
        return [span for body in list(self.bodies) for span in spans_in(body) if name in ("", span.name)]

    def environment(self) -> dict[str, str]:
        """Return the variables that name this collector, and no pause before spans are sent."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}


@contextmanager
def running_collector(port: int = 0) -> Iterator[Collector]:
    """Answer on `port`, or on a free one, until the end."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                collector.bodies.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spans_in(body: bytes) -> Iterator[HeardSpan]:
    """Read one export."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        process = str(_values(resource.resource.attributes)["service.name"])
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield HeardSpan(
                    process,
                    span.name,
                    int(span.kind),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    _values(span.attributes),
                    span.status.code == 2,
                )


def _values(attributes: "list[KeyValue]") -> dict[str, str | int | float | bool]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}

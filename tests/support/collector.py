"""An OTLP collector in this process. It receives spans over HTTP and keeps them, or hangs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ExportedSpans:
    """An exported span. Ids are in hex."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]


@dataclass
class Collector:
    """The spans that were exported so far. While ``may_answer`` is not set, the collector hangs."""

    url: str = ""
    spans: list[ExportedSpans] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def find_trace(self, trace_id: str) -> dict[str, ExportedSpans]:
        """Return the spans of a trace by service, and fail if a service exported two spans of it."""
        spans = [span for span in list(self.spans) if span.trace_id == trace_id]
        by_service = {span.service: span for span in spans}
        assert len(by_service) == len(spans), spans
        return by_service

    def keep_spans(self, message: bytes) -> None:
        """Keep the spans of a request."""
        for resource in ExportTraceServiceRequest.FromString(message).resource_spans:
            resource_attributes = {
                attribute.key: attribute.value.string_value for attribute in resource.resource.attributes
            }
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {attribute.key: attribute.value.string_value for attribute in span.attributes}
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(
                    ExportedSpans(resource_attributes["service.name"], span.name, *ids, attributes)
                )


@contextmanager
def start_span_collector() -> Iterator[Collector]:
    """Start a collector."""
    collector = Collector()
    collector.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the standard library's name
            message = self.rfile.read(int(self.headers["content-length"]))
            collector.may_answer.wait()
            collector.keep_spans(message)
            try:
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:  # the exporter has given up
                return

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()

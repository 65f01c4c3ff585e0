"""An OTLP collector in this process: takes spans over HTTP, keeps them, or hangs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ExportedSpans:
    """A span as it was exported; ids in hex."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]


@dataclass
class Collector:
    """What was exported so far; while ``may_answer`` is not set nothing is answered."""

    url: str = ""
    spans: list[ExportedSpans] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def of_trace(self, trace_id: str) -> dict[str, ExportedSpans]:
        """The spans of a trace by service; a service that exported two spans of it is a mistake."""
        spans = [span for span in list(self.spans) if span.trace_id == trace_id]
        by_service = {span.service: span for span in spans}
        assert len(by_service) == len(spans), spans
        return by_service

    def take(self, message: bytes) -> None:
        """Keep what a request brings."""
        for resource in ExportTraceServiceRequest.FromString(message).resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {each.key: each.value.string_value for each in span.attributes}
                ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
                self.spans.append(ExportedSpans(about["service.name"], span.name, *ids, attributes))


@contextmanager
def span_collector() -> Iterator[Collector]:
    """Run a collector."""
    collector = Collector()
    collector.may_answer.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the standard library's name
            message = self.rfile.read(int(self.headers["content-length"]))
            collector.may_answer.wait()
            collector.take(message)
            try:
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:  # whoever exported has given up waiting
                return

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

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

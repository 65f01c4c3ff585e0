"""Tracing of a request through the services, as W3C trace context, with the OpenTelemetry API.

Each service makes one span of a request, and sends the span's id to the next service as the parent. It does
so without an SDK too. Every log line holds the trace's id.

Source:
    W3C Trace Context, sections 3.2 (traceparent), 3.3 (tracestate), 4.3 (an invalid one restarts the trace).
"""

import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState
from pydantic_settings import BaseSettings, SettingsConfigDict

_TRACE_PARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
_KNOWN_FLAGS: Final = 0x03
_FLUSH_S: Final = 1.0


class TracingUnavailable(Exception):
    """The environment asks for the export of spans, but the exporter is not installed."""


class TracingSettings(BaseSettings):
    """The one variable of OpenTelemetry that we read. Its SDK reads the others."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    otel_exporter_otlp_endpoint: str = ""
    """Address that spans are sent to; empty for no export."""


class _Spans:
    """The tracer of the process.

    Our provider is not OpenTelemetry's global one: FastAPI, which kserve uses, would export paths and queries
    through that.
    """

    tracer = trace.get_tracer("pleura")


class Span:
    """The work of one service for a request. Its only attributes are route, outcome and model version."""

    def __init__(self, span: trace.Span) -> None:
        self._span, self._context = span, span.get_span_context()
        self.trace_id = f"{self._context.trace_id:032x}"
        """The 32 hexadecimal digits of the trace."""
        self.request_id: str | None = None
        self.model_version: str | None = None

    def make_current(self) -> None:
        """Make this the current span of the task and its child tasks, from now on."""
        _CURRENT.set(self)

    def as_headers(self) -> dict[str, str]:
        """Write the headers that make this span the parent of the next service's."""
        context = self._context
        if not context.is_valid:
            return {}
        headers = {"traceparent": f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"}
        return headers | {"tracestate": context.trace_state.to_header()} if context.trace_state else headers

    def end(self, route: str, outcome: str) -> None:
        """End the span with its route and outcome."""
        if not self._span.is_recording():
            return
        self._span.update_name(route)
        self._span.set_attributes({"route": route, "outcome": outcome})
        if self.model_version:
            self._span.set_attribute("model_version", self.model_version)
        self._span.end()


NO_SPAN: Final = Span(trace.INVALID_SPAN)
"""The span of work that is not traced."""
_CURRENT: Final[ContextVar[Span]] = ContextVar("pleura_span", default=NO_SPAN)


def current_span() -> Span:
    """Return the span of the current request."""
    return _CURRENT.get()


def begin_span(headers: Mapping[str, str], *, is_recorded: bool = True) -> Span:
    """Begin the span of a request, as a child of the caller's span where the headers name a valid one.

    Args:
        headers: The headers of the request, by name in lower case.
        is_recorded: False for a request that no trace should show, such as a probe.
    """
    parent = _read_parent(headers)
    if is_recorded:
        context = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
        span = _Spans.tracer.start_span("request", context, SpanKind.SERVER)
        context_of_span = span.get_span_context()
        if context_of_span.is_valid and (parent is None or context_of_span.span_id != parent.span_id):
            return Span(span)
    return Span(NonRecordingSpan(_make_child(parent)))  # the API alone makes no ids


def _read_parent(headers: Mapping[str, str]) -> SpanContext | None:
    match = _TRACE_PARENT.fullmatch(headers.get("traceparent", ""))
    if match is None:
        return None
    text = headers.get("tracestate", "")
    state = TraceState.from_header([text]) if _TRACE_STATE.fullmatch(text) else None
    flags = TraceFlags(int(match[3], 16) & _KNOWN_FLAGS)
    return SpanContext(int(match[1], 16), int(match[2], 16), True, flags, state)


def _make_child(parent: SpanContext | None) -> SpanContext:
    span_id = secrets.randbits(64) or 1
    if parent is None:
        return SpanContext(secrets.randbits(128) or 1, span_id, False, TraceFlags(TraceFlags.SAMPLED))
    return SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)


def export_spans(service: str) -> Callable[[], None]:
    """Export spans over OTLP from now on, if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.

    A thread takes the spans from a bounded queue. A full queue drops further spans.

    Returns:
        A function that sends the last spans when the service ends. It takes one second at most.

    Raises:
        TracingUnavailable: The extra ``tracing`` is not installed.
    """
    if not TracingSettings().otel_exporter_otlp_endpoint:
        return lambda: None
    provider = _make_provider(service)
    _Spans.tracer = provider.get_tracer("pleura")
    logging.getLogger("opentelemetry").setLevel("CRITICAL")  # it logs addresses, and each dropped span

    def close() -> None:
        flush = threading.Thread(target=provider.shutdown, daemon=True)  # it waits for a collector that hangs
        flush.start()
        flush.join(_FLUSH_S)

    return close


def _make_provider(service: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(
            "OTEL_EXPORTER_OTLP_ENDPOINT: the extra 'tracing' is not installed"
        ) from error
    # the SDK would wait at exit for a collector that hangs; the caller of close() waits for a second
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider

"""A request's way through the services, as W3C trace context, by the OpenTelemetry API.

Each service makes one span of a request and sends its id on as the next service's parent, whether or not an
SDK is there to export it; the trace's id is in every line of the log.

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
from pydantic_settings import BaseSettings

_TRACE_PARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
_KNOWN_FLAGS: Final = 0x03
_FLUSH_S: Final = 1.0


class TracingUnavailable(Exception):
    """Spans are to be exported, but what exports them is not installed."""


class TracingSettings(BaseSettings):
    """The one variable of OpenTelemetry that is read here; its SDK reads the others itself."""

    otel_exporter_otlp_endpoint: str = ""
    """Where spans are sent; empty for nowhere."""


class _Spans:
    """Where spans come from.

    Our provider is never the process's: FastAPI, kserve's base, would export paths and queries through it.
    """

    tracer = trace.get_tracer("pleura")


class Span:
    """What one service does for a request; its attributes are route, outcome and model version, no more."""

    def __init__(self, span: trace.Span) -> None:
        self._span, self._context = span, span.get_span_context()
        self.trace_id = f"{self._context.trace_id:032x}"
        """The 32 hexadecimal digits of the trace."""
        self.request_id: str | None = None
        self.model_version: str | None = None

    def make_current(self) -> None:
        """Be the current span of this task from here on, and of what it starts."""
        _CURRENT.set(self)

    def as_headers(self) -> dict[str, str]:
        """What the next service is told: this span is its parent."""
        context = self._context
        if not context.is_valid:
            return {}
        headers = {"traceparent": f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"}
        return headers | {"tracestate": context.trace_state.to_header()} if context.trace_state else headers

    def end(self, route: str, outcome: str) -> None:
        """Say what became of it."""
        if not self._span.is_recording():
            return
        self._span.update_name(route)
        self._span.set_attributes({"route": route, "outcome": outcome})
        if self.model_version:
            self._span.set_attribute("model_version", self.model_version)
        self._span.end()


NO_SPAN: Final = Span(trace.INVALID_SPAN)
"""Stands where nothing is traced."""
_CURRENT: Final[ContextVar[Span]] = ContextVar("pleura_span", default=NO_SPAN)


def current_span() -> Span:
    """The span of the request that is being answered."""
    return _CURRENT.get()


def begin_span(headers: Mapping[str, str], *, is_recorded: bool = True) -> Span:
    """Begin a service's span of a request: a child of the caller's where the headers name a valid one.

    Args:
        headers: By name in lower case.
        is_recorded: False for what nobody wants to see in a trace, as the questions of a probe.
    """
    parent = _parent_of(headers)
    if is_recorded:
        context = trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
        span = _Spans.tracer.start_span("request", context, SpanKind.SERVER)
        made = span.get_span_context()
        if made.is_valid and (parent is None or made.span_id != parent.span_id):
            return Span(span)
    return Span(NonRecordingSpan(_child_of(parent)))  # the API alone makes no ids


def _parent_of(headers: Mapping[str, str]) -> SpanContext | None:
    match = _TRACE_PARENT.fullmatch(headers.get("traceparent", ""))
    if match is None:
        return None
    text = headers.get("tracestate", "")
    state = TraceState.from_header([text]) if _TRACE_STATE.fullmatch(text) else None
    flags = TraceFlags(int(match[3], 16) & _KNOWN_FLAGS)
    return SpanContext(int(match[1], 16), int(match[2], 16), True, flags, state)


def _child_of(parent: SpanContext | None) -> SpanContext:
    span_id = secrets.randbits(64) or 1
    if parent is None:
        return SpanContext(secrets.randbits(128) or 1, span_id, False, TraceFlags(TraceFlags.SAMPLED))
    return SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)


def export_spans(service: str) -> Callable[[], None]:
    """Export spans over OTLP from here on, if ``OTEL_EXPORTER_OTLP_ENDPOINT`` says where to.

    Spans wait in a bounded queue for a thread of their own; those that find no room are dropped.

    Returns:
        What sends the last spans, in a second at most, when the service ends.

    Raises:
        TracingUnavailable: The extra ``tracing`` is not installed.
    """
    if not TracingSettings().otel_exporter_otlp_endpoint:
        return lambda: None
    provider = _provider_of(service)
    _Spans.tracer = provider.get_tracer("pleura")
    logging.getLogger("opentelemetry").setLevel("CRITICAL")  # it tells addresses, and of each span it drops

    def close() -> None:
        flush = threading.Thread(target=provider.shutdown, daemon=True)  # a collector that hangs holds it up
        flush.start()
        flush.join(_FLUSH_S)

    return close


def _provider_of(service: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(
            "OTEL_EXPORTER_OTLP_ENDPOINT: the extra 'tracing' is not installed"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider

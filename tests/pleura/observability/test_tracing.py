"""The trace context without an SDK: services still make and send ids."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.observability.tracing import NO_SPAN, begin_span

_TRACE, _PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_HEADER = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_valid_parent_is_continued(flags: str) -> None:
    """Trace, flags and state stay. The next service's parent is this service's span."""
    headers = {"traceparent": f"00-{_TRACE}-{_PARENT}-{flags}", "tracestate": "vendor=1,other=2"}
    span, other = begin_span(headers), begin_span(headers)
    version, trace_id, span_id, sent_flags = span.as_headers()["traceparent"].split("-")
    assert (version, trace_id, sent_flags) == ("00", _TRACE, flags)
    assert span.trace_id == _TRACE
    assert span.as_headers()["tracestate"] == "vendor=1,other=2"
    assert len({span_id, _PARENT, other.as_headers()["traceparent"].split("-")[2]}) == 3


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), st.text(max_size=60)))
def test_any_headers_give_a_valid_context(headers: dict[str, str]) -> None:
    """An invalid context restarts the trace."""
    span = begin_span(headers)
    assert _HEADER.fullmatch(span.as_headers()["traceparent"])
    assert span.as_headers()["traceparent"][3:35] == span.trace_id
    assert int(span.trace_id, 16)


@pytest.mark.parametrize(
    "parent",
    [
        f"00-{_TRACE.upper()}-{_PARENT}-01",
        f"00-{'0' * 32}-{_PARENT}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"ff-{_TRACE}-{_PARENT}-01",
        f"00-{_TRACE}-{_PARENT}-01-more",
        f"00-{_TRACE}-{_PARENT}",
    ],
)
def test_an_invalid_parent_restarts_the_trace(parent: str) -> None:
    """The trace loses its state too."""
    span = begin_span({"traceparent": parent, "tracestate": "vendor=1"})
    assert span.trace_id.lower() != _TRACE
    assert "tracestate" not in span.as_headers()


def test_no_span_sends_no_headers() -> None:
    """Without tracing, the next service gets no trace headers."""
    assert NO_SPAN.as_headers() == {}

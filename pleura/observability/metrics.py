"""Metrics of requests that every service has, in Prometheus's names and units.

Metrics live in the one registry of the process. Their labels have few values, all of them ours: no id, no
user, no object's key, and nothing else that a caller may choose. See ``docs/reference/metrics.md``.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final, TypeVar

import prometheus_client
import structlog
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from pleura.errors import PleuraError
from pleura.observability.tracing import NO_SPAN, Span, begin_span
from pleura.request_id import find_request_id, hide_unsafe_id

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OK: Final = "ok"
CLIENT_GONE: Final = "client_gone"
UNKNOWN_ROUTE: Final = "unknown"
_OTHER: Final = "other"
_NO_REFUSALS: Final = (OK, CLIENT_GONE)
M = TypeVar("M", bound=MetricWrapperBase)
Values = str | tuple[str, ...]


class Children(dict[Values, M]):
    """The children of a metric by the values of their labels. Each is resolved once, which is faster.

    There are at most ``max_count`` of them. All further values count as "other".
    """

    def __init__(self, metric: M, max_count: int = 64) -> None:
        super().__init__()
        self._metric, self._max_count = metric, max_count

    def __missing__(self, values: Values) -> M:
        """Resolve a child on its first use."""
        labels = (values,) if isinstance(values, str) else values
        if len(self) >= self._max_count:
            return self._metric.labels(*(_OTHER for _ in labels))
        child = self[values] = self._metric.labels(*labels)
        return child


REQUESTS: Final = Children(
    Counter("pleura_requests_total", "Requests that ended, by route and outcome.", ["route", "outcome"]),
    max_count=512,
)
DURATIONS: Final = Children(
    Histogram(
        "pleura_request_duration_seconds",
        "Time from the head of a request to the end of its response.",
        ["route"],
        buckets=BUCKETS_S,
    )
)
REFUSALS: Final = Children(
    Counter("pleura_refusals_total", "Requests that ended with an error, by its code.", ["reason"])
)
IN_FLIGHT: Final = Gauge("pleura_requests_in_flight", "Requests in flight.")
READY: Final = Gauge("pleura_ready", "1 if the service can answer a valid request, else 0.")
_BUILD: Final = Gauge("pleura_build_info", "The running software; always 1.", ["service", "version"])
_MODEL: Final = Gauge("pleura_model_info", "The model that answers now; always 1.", ["model_version"])


def configure_metrics(service: str) -> None:
    """Show the running software, and leave out the ``_created`` series, which double every scrape."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    _BUILD.labels(service, version("pleura")).set(1)


def show_model(model_version: str) -> None:
    """Show the version of the model that answers now."""
    # the series of the model before would stay at 1
    _MODEL.clear()
    _MODEL.labels(model_version).set(1)


def count_request(route: str, outcome: str, seconds: float) -> None:
    """Count and time a request that has ended."""
    REQUESTS[route, outcome].inc()
    DURATIONS[route].observe(seconds)
    if outcome not in _NO_REFUSALS:
        REFUSALS[outcome].inc()


def bind_log_ids(request_id: str, trace_id: str) -> None:
    """Add both ids to each log line that this task and its child tasks write from now on.

    The id of a V2 request may be any text, even a patient's name. An id in another form is logged as "other".

    Nothing removes the ids: the task ends with its request, and the last line of a failure needs them.
    """
    structlog.contextvars.bind_contextvars(request_id=hide_unsafe_id(request_id), trace_id=trace_id)


@contextmanager
def count_and_time(route: str) -> Iterator[None]:
    """Count and time a request to a model server that belongs to no trace, such as a probe."""
    with _record_end(route, NO_SPAN):
        yield


@contextmanager
def observe_request(route: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """Count and time a request to a model server, and make its span the current one."""
    span = begin_span(headers)
    with _record_end(route, span):
        span.make_current()
        span.request_id = find_request_id(headers)
        bind_log_ids(span.request_id, span.trace_id)
        yield span


@contextmanager
def _record_end(route: str, span: Span) -> Iterator[None]:
    started_s, outcome = time.perf_counter(), OK
    IN_FLIGHT.inc()
    try:
        yield
    except PleuraError as error:
        outcome = error.code
        raise
    except asyncio.CancelledError:
        outcome = CLIENT_GONE
        raise
    except BaseException:
        outcome = PleuraError.code
        raise
    finally:
        IN_FLIGHT.dec()
        count_request(route, outcome, time.perf_counter() - started_s)
        span.end(route, outcome)

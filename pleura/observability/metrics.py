"""What every service counts of its requests, in Prometheus's names and units, and how it counts cheaply.

Metrics live in the process's one registry, beside those of the process itself. Their labels have few values,
all of them ours: no id, no user, no object's key, nothing that a caller may choose.
``docs/reference/metrics.md`` lists all of them.
"""

import asyncio
import re
import time
import uuid
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

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
OK: Final = "ok"
CLIENT_GONE: Final = "client_gone"
UNKNOWN_ROUTE: Final = "unknown"
_OTHER: Final = "other"
_SOUND_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_NO_REFUSALS: Final = (OK, CLIENT_GONE)
M = TypeVar("M", bound=MetricWrapperBase)
Values = str | tuple[str, ...]


class Children(dict[Values, M]):
    """The children of a metric by their labels' values, each resolved once.

    Whatever happens they stay few: beyond ``most`` all further values count as "other".
    """

    def __init__(self, metric: M, most: int = 64) -> None:
        super().__init__()
        self._metric, self._most = metric, most

    def __missing__(self, values: Values) -> M:
        """Make a child."""
        labels = (values,) if isinstance(values, str) else values
        if len(self) >= self._most:
            return self._metric.labels(*(_OTHER for _ in labels))
        child = self[values] = self._metric.labels(*labels)
        return child


REQUESTS: Final = Children(
    Counter("pleura_requests_total", "Requests that ended, by what became of them.", ["route", "outcome"]),
    most=512,
)
DURATIONS: Final = Children(
    Histogram(
        "pleura_request_duration_seconds",
        "Time from a request's head to the end of its answer.",
        ["route"],
        buckets=BUCKETS_S,
    )
)
REFUSALS: Final = Children(
    Counter("pleura_refusals_total", "Requests that got no answer but an error, by its code.", ["reason"])
)
IN_FLIGHT: Final = Gauge("pleura_requests_in_flight", "Requests that are being answered.")
READY: Final = Gauge("pleura_ready", "Whether a good request would be answered.")
_BUILD: Final = Gauge("pleura_build_info", "The software that runs; always 1.", ["service", "version"])
_MODEL: Final = Gauge("pleura_model_info", "The model that answers now; always 1.", ["model_version"])


def configure_metrics(service: str) -> None:
    """Say what runs, and leave out the series that say when a counter was made: they double every scrape."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    _BUILD.labels(service, version("pleura")).set(1)


def show_model(model_version: str) -> None:
    """Say which model answers now."""
    _MODEL.clear()
    _MODEL.labels(model_version).set(1)


def count_request(route: str, outcome: str, seconds: float) -> None:
    """Count a request that has ended."""
    REQUESTS[route, outcome].inc()
    DURATIONS[route].observe(seconds)
    if outcome not in _NO_REFUSALS:
        REFUSALS[outcome].inc()


def bind_log_ids(request_id: str, trace_id: str) -> None:
    """Have each line that is written from here on, in this task and what it starts, carry both ids.

    An id that has not the form of one is no id: a V2 request's may be any text, a patient's name too.

    They are never taken back: the task ends with its request, and who tells of its failure last needs them.
    """
    sound_id = request_id if _SOUND_ID.fullmatch(request_id) else "other"
    structlog.contextvars.bind_contextvars(request_id=sound_id, trace_id=trace_id)


@contextmanager
def count_and_time(route: str) -> Iterator[None]:
    """Count, and time, what a model server is asked that is no part of anybody's trace."""
    with _ended(route, NO_SPAN):
        yield


@contextmanager
def observe_request(route: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """Count and time a request to a model server; give its span, now the current one."""
    span = begin_span(headers)
    with _ended(route, span):
        span.make_current()
        span.request_id = headers.get("x-request-id") or str(uuid.uuid4())
        bind_log_ids(span.request_id, span.trace_id)
        yield span


@contextmanager
def _ended(route: str, span: Span) -> Iterator[None]:
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

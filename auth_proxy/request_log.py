"""Write one log line per request: who asked, for which route, and how it ended. No patient data is in it."""

import time
from typing import Final

import structlog

from auth_proxy.call import Call
from pleura.observability.metrics import OK, UNKNOWN_ROUTE, count_request

_ANSWERED: Final = "answered"
_VERBS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
log = structlog.get_logger("audit")


def end_call(call: Call, verb: str) -> None:
    """Count a request that has ended, end its span, and write its log line."""
    seconds = time.perf_counter() - call.started_s
    route = call.route.name if call.route else UNKNOWN_ROUTE
    outcome = OK if call.outcome == _ANSWERED else call.outcome
    count_request(route, outcome, seconds)
    call.span.model_version = call.model_version
    call.span.end(route, outcome)
    _write_line(call, verb, seconds)


def _write_line(call: Call, verb: str, seconds: float) -> None:
    """Write what we know of the request, without the paths, names and ids that the caller chose."""
    log.info(
        "request_ended",
        request_id=call.request_id,
        trace_id=call.span.trace_id,
        principal=call.principal,
        route=call.route.name if call.route else None,
        # a caller may invent a verb, and a patient's name fits into it (docs/decisions/0031)
        verb=verb if verb in _VERBS else "other",
        status=call.status,
        outcome=call.outcome,
        model_version=call.model_version,
        model_digest=call.model_digest,
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
        seconds=round(seconds, 4),
    )

"""Who asked what, and what came of it: one line per request, without a word of the patient."""

import time

import structlog

from auth_proxy.call import Call

log = structlog.get_logger("audit")


def write_audit_line(call: Call, verb: str) -> None:
    """Write the line of a request that has ended; paths, names and ids that a caller chose stay out."""
    log.info(
        "request_ended",
        request_id=call.request_id,
        trace_id=call.trace.trace_id,
        principal=call.principal,
        route=call.route.name if call.route else None,
        verb=verb[:16],
        status=call.status,
        outcome=call.outcome,
        model_version=call.model_version,
        model_digest=call.model_digest,
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
        seconds=round(time.perf_counter() - call.started_s, 4),
    )

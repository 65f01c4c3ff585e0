"""The route ``POST /feedback``, which the transformer adds to those of V2."""

from datetime import datetime

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pleura.deadline import Deadline
from pleura.errors import PleuraError
from pleura.observability.tracing import current_span
from pleura.serving.rest_server import RouteSpec, read_limited_body, trace_endpoint
from transformer.feedback.request import MAX_BODY_BYTES, read_feedback
from transformer.feedback.verdicts import StoredVerdicts, Verdicts

log = structlog.get_logger()


class VerdictsRoute:
    """Stores verdicts from the reader that the proxy names."""

    def __init__(self, verdicts: Verdicts, timeout_s: float) -> None:
        self._verdicts, self._timeout_s = verdicts, timeout_s

    def spec(self) -> RouteSpec:
        """Give verb, path and endpoint."""
        return ("POST", "/feedback", trace_endpoint("feedback", self.answer))

    async def answer(self, request: Request) -> Response:
        """Store the feedback, then answer. The log has one line for it in any case."""
        try:
            stored = await self._store(request)
        except PleuraError as error:
            log.info("request_failed", outcome=error.code, status=error.status)
            raise
        feedback = stored.feedback
        log.info(
            "feedback_stored",
            outcome="ok",
            findings=[name for name, _ in feedback.verdicts],
            had_seen_answer=feedback.had_seen_answer,
        )
        return JSONResponse(make_document(stored), 201)

    async def _store(self, request: Request) -> StoredVerdicts:
        deadline = Deadline.from_headers(request.headers, self._timeout_s)
        reader = request.headers.get("x-pleura-principal", "anonymous")
        body = await read_limited_body(request, MAX_BODY_BYTES)
        feedback = read_feedback(body, reader, current_span().request_id or "")
        return await self._verdicts.store(feedback, deadline)


def make_document(stored: StoredVerdicts) -> dict[str, str | int | bool | dict[str, bool | None]]:
    """Make the JSON document of stored feedback. It contains nothing of the answer itself."""
    feedback, given_at = stored.feedback, stored.given_at
    return {
        "feedback_id": feedback.feedback_id,
        "id": feedback.answer.request_id,
        "answered_to": feedback.answer.principal,
        "position": feedback.answer.position,
        "reader": feedback.reader,
        "verdicts": dict(feedback.verdicts),
        "had_seen_answer": feedback.had_seen_answer,
        "given_at": _format_time(given_at),
    }


def _format_time(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")

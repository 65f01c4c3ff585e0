"""``POST /feedback``: the transformer's own route, beside those of V2."""

from datetime import datetime

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pleura.deadline import Deadline
from pleura.errors import PleuraError
from pleura.observability.tracing import current_span
from pleura.serving.rest_server import RouteSpec, limited_body, traced
from transformer.feedback.request import MAX_BODY_BYTES, read_feedback
from transformer.feedback.verdicts import StoredVerdicts, Verdicts

log = structlog.get_logger()


class FeedbackRoute:
    """Takes verdicts from whom the proxy names."""

    def __init__(self, verdicts: Verdicts, timeout_s: float) -> None:
        self._verdicts, self._timeout_s = verdicts, timeout_s

    def spec(self) -> RouteSpec:
        """Verb, path and endpoint."""
        return ("POST", "/feedback", traced("feedback", self.answer))

    async def answer(self, request: Request) -> Response:
        """Store, then answer; one line in the log either way."""
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
        return JSONResponse(document_of(stored), 201)

    async def _store(self, request: Request) -> StoredVerdicts:
        deadline = Deadline.from_headers(request.headers, self._timeout_s)
        reader = request.headers.get("x-pleura-principal", "anonymous")
        body = await limited_body(request, MAX_BODY_BYTES)
        feedback = read_feedback(body, reader, current_span().request_id or "")
        return await self._verdicts.store(feedback, deadline)


def document_of(stored: StoredVerdicts) -> dict[str, str | int | bool | dict[str, bool | None]]:
    """What is stored, as JSON; nothing of the answer that was not in the feedback itself."""
    feedback, given_at = stored.feedback, stored.given_at
    return {
        "feedback_id": feedback.feedback_id,
        "id": feedback.answer.request_id,
        "answered_to": feedback.answer.principal,
        "position": feedback.answer.position,
        "reader": feedback.reader,
        "verdicts": dict(feedback.verdicts),
        "had_seen_answer": feedback.had_seen_answer,
        "given_at": _in_words(given_at),
    }


def _in_words(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

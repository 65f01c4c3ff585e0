"""The routes of stored answers, which the transformer adds to those of V2. Only the proxy calls them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pleura.contract import FINDING_HEADER, READS_ALL_HEADER
from pleura.deadline import Deadline
from pleura.errors import PleuraError
from pleura.observability.tracing import current_span
from pleura.serving.rest_server import RouteSpec, read_limited_body, trace_endpoint
from transformer.answers.document import make_page_document, make_request_document
from transformer.answers.overlays import Overlays
from transformer.answers.query import (
    MAX_BODY_BYTES,
    Requester,
    read_answer_name,
    read_answer_query,
    read_overlay_query,
)
from transformer.answers.stored_answers import StoredAnswers
from transformer.request import require_printable_id

_YES: Final = "1"
Answer = Callable[[bytes, Requester, Deadline], Awaitable[Response]]
log = structlog.get_logger()


class AnswersRoutes:
    """Shows and finds stored answers for the principal that the proxy names."""

    def __init__(self, stored: StoredAnswers, overlays: Overlays, timeout_s: float) -> None:
        self._stored, self._overlays, self._timeout_s = stored, overlays, timeout_s

    def specs(self) -> Sequence[RouteSpec]:
        """Give verb, path and endpoint of each route."""
        answers = {"show": self._show, "find": self._find, "overlay": self._draw}
        return [
            ("POST", f"/answers/{name}", trace_endpoint(f"answers_{name}", self._make_endpoint(name, answer)))
            for name, answer in answers.items()
        ]

    def _make_endpoint(self, name: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                deadline = Deadline.from_headers(request.headers, self._timeout_s)
                requester = _read_requester(request)
                body = await read_limited_body(request, MAX_BODY_BYTES)
                response = await answer(body, requester, deadline)
            except PleuraError as error:
                log.info("request_failed", outcome=error.code, status=error.status)
                raise
            log.info("answers_read", outcome="ok", how=name)
            return response

        return endpoint

    async def _show(self, body: bytes, requester: Requester, deadline: Deadline) -> Response:
        rows = await self._stored.show(read_answer_name(body), requester, deadline)
        return JSONResponse(make_request_document(rows))

    async def _find(self, body: bytes, requester: Requester, deadline: Deadline) -> Response:
        page = await self._stored.find(read_answer_query(body), requester, deadline)
        return JSONResponse(make_page_document(page))

    async def _draw(self, body: bytes, requester: Requester, deadline: Deadline) -> Response:
        trace = current_span().as_headers()
        overlay = await self._overlays.draw(read_overlay_query(body), requester, deadline, trace)
        return Response(overlay.png, media_type="image/png", headers={FINDING_HEADER: overlay.finding})


def _read_requester(request: Request) -> Requester:
    principal = request.headers.get("x-pleura-principal", "anonymous")
    return Requester(
        require_printable_id("principal", principal), request.headers.get(READS_ALL_HEADER) == _YES
    )

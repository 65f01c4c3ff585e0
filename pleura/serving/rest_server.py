"""V2 over REST: the routes of one model, and the form of every error."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pleura.errors import (
    ERROR_CODE_HEADER,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PleuraError,
    TooLarge,
)
from pleura.observability.metrics import UNKNOWN_ROUTE, count_and_time, count_request, observe_request
from pleura.request_id import find_request_id, hide_unsafe_id
from pleura.serving.byte_budget import ByteBudget
from pleura.serving.health import HealthChecks
from pleura.serving.model import Model, answer_request, model_metadata, require_model, server_metadata
from pleura.serving.shutdown import Shutdown
from pleura.serving.v2 import read_request, write_response

JSON_LENGTH_HEADER: Final = "inference-header-content-length"
_LARGEST_BODIES: Final = 8
Endpoint = Callable[[Request], Awaitable[Response]]
RouteSpec = tuple[str, str, Endpoint]
"""Verb, path and endpoint of a route."""
log = structlog.get_logger()


async def to_v2_error(request: Request, error: Exception) -> Response:
    """Write an error in the one form that REST has; an unknown error gives no detail."""
    if isinstance(error, HTTPException):  # starlette raises it before our endpoints run
        verbs = (error.headers or {}).get("Allow", "").split(", ")
        known = {404: NotFound("no such path"), 405: MethodNotAllowed(verbs)}
        error = known.get(error.status_code, InvalidRequest(str(error.detail)))
        count_request(UNKNOWN_ROUTE, error.code, 0.0)
    if not isinstance(error, PleuraError):
        log.error("internal_error", exc_info=error)
        error = PleuraError("internal error")
    headers = {**error.headers, ERROR_CODE_HEADER: error.code}
    return JSONResponse(error.document(_find_id(request)), error.status, headers=headers)


def _find_id(request: Request) -> str:
    """Find the id of a request: the one in its log lines, if it came as far as an endpoint."""
    request_id = getattr(request.state, "request_id", None) or find_request_id(request.headers)
    return hide_unsafe_id(request_id)


async def read_limited_body(
    request: Request, limit: int, reserve: Callable[[int], None] | None = None
) -> bytes:
    """Read the body of a request.

    Args:
        request: The request.
        limit: The largest size of the body, in bytes.
        reserve: Takes bytes from a budget as they arrive; None for a small body, which needs no budget.

    Raises:
        TooLarge: The body is larger.
        InvalidRequest: The body is cut short.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body exceeds {limit} bytes")
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the body exceeds {limit} bytes")
            if reserve:
                reserve(len(chunk))
            chunks.append(chunk)
    except ClientDisconnect as error:  # the caller left: not an error of ours
        raise InvalidRequest("the body is cut short") from error
    return b"".join(chunks)


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    encoding = encoding.removeprefix("x-")  # RFC 9110 section 8.4.1.3
    if encoding not in ("gzip", "deflate"):
        raise InvalidRequest("content-encoding must be gzip or deflate")
    # 32: zlib tells gzip from deflate by the first bytes
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        # one byte too many shows a bomb, without inflating all of it
        plain = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {encoding}") from error
    if len(plain) > limit:
        raise TooLarge(f"the body exceeds {limit} bytes")
    if not decoder.eof:
        raise InvalidRequest(f"the {encoding} body is cut short")
    # bytes after the gzip data were dropped in silence once (docs/decisions/0042)
    if decoder.unused_data:
        raise InvalidRequest(f"the body is longer than its {encoding} data")
    return plain


def _json_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get(JSON_LENGTH_HEADER)
    if text is None:
        return None
    # isdigit accepts a superscript two, which int() cannot read
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidRequest(f"'{JSON_LENGTH_HEADER}' must be a number")
    return int(text)


def trace_endpoint(route: str, endpoint: Endpoint) -> Endpoint:
    """Count, time and trace the requests of an endpoint."""

    async def answer(request: Request) -> Response:
        with observe_request(route, request.headers) as span:
            request.state.request_id = span.request_id
            return await endpoint(request)

    return answer


def _count_endpoint(route: str, endpoint: Endpoint) -> Endpoint:
    """Count and time the requests of an endpoint, but do not trace them: probes send them."""

    async def answer(request: Request) -> Response:
        with count_and_time(route):
            return await endpoint(request)

    return answer


class RestServer:
    """The V2 REST routes of one model."""

    def __init__(self, model: Model, health: HealthChecks, max_body_bytes: int, shutdown: Shutdown) -> None:
        self._model, self._health, self._shutdown = model, health, shutdown
        self._max_body_bytes = max_body_bytes
        self._budget = ByteBudget(_LARGEST_BODIES * max_body_bytes)

    def routes(self) -> Sequence[RouteSpec]:
        """List verb, path and endpoint of each route."""
        paths = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        return (
            ("GET", "/v2", trace_endpoint("v2_server", self.server)),
            ("GET", "/healthz", _count_endpoint("healthz", self.live)),
            ("GET", "/readyz", _count_endpoint("readyz", self.ready)),
            ("GET", "/v2/health/live", _count_endpoint("v2_health", self.v2_live)),
            ("GET", "/v2/health/ready", _count_endpoint("v2_health", self.v2_ready)),
            ("GET", "/v2/models", trace_endpoint("v2_models", self.models)),
            *(("GET", f"{p}/ready", _count_endpoint("v2_model_ready", self.model_ready)) for p in paths),
            *(("POST", f"{p}/infer", trace_endpoint("v2_infer", self.infer)) for p in paths),
            *(("GET", p, trace_endpoint("v2_model", self.metadata)) for p in paths),
            ("GET", "/model-info", trace_endpoint("model_info", self.info)),
        )

    async def server(self, request: Request) -> Response:
        """Describe the server."""
        return JSONResponse(server_metadata())

    async def live(self, request: Request) -> Response:
        """Tell whether the process can do its work."""
        is_live, parts = self._health.liveness()
        return JSONResponse({"live": is_live, **parts}, 200 if is_live else 503)

    async def v2_live(self, request: Request) -> Response:
        """Tell whether the process can do its work, as V2 does."""
        is_live = self._health.liveness()[0]
        return JSONResponse({"live": is_live}, 200 if is_live else 503)

    async def ready(self, request: Request) -> Response:
        """Tell whether the model and the parts that it needs can answer."""
        are_ready, parts = self._health.readiness()
        is_ready = are_ready and await self._is_ready()
        return JSONResponse({"ready": is_ready, **parts}, 200 if is_ready else 503)

    async def v2_ready(self, request: Request) -> Response:
        """Tell whether the model can answer, as V2 does."""
        is_ready = await self._is_ready()
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def models(self, request: Request) -> Response:
        """List the one model."""
        return JSONResponse({"models": [self._model.name]})

    async def model_ready(self, request: Request) -> Response:
        """Tell whether the model of that name can answer."""
        await self._require_model(request)
        is_ready = await self._is_ready()
        return JSONResponse({"name": self._model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Describe the inputs and outputs of the model."""
        await self._require_model(request)
        return JSONResponse(await model_metadata(self._model))

    async def info(self, request: Request) -> Response:
        """Describe the bundle of the model that answers now."""
        return Response((await self._model.describe()).to_json(), media_type="application/json")

    async def infer(self, request: Request) -> Response:
        """Answer an inference request."""
        await self._require_model(request)
        with self._budget.reservation() as reserve:
            return await self._infer(request, reserve)

    async def _infer(self, request: Request, reserve: Callable[[int], None]) -> Response:
        headers, limit = dict(request.headers), self._max_body_bytes
        body = await read_limited_body(request, limit, reserve)
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding:
            # to inflate many megabytes would hold up the event loop
            body = await asyncio.to_thread(_decompress, body, encoding, limit)
            reserve(len(body))
        infer_request = read_request(
            body, _json_length(headers), self._model.name, request.path_params.get("version")
        )
        response = await answer_request(self._model, infer_request, headers)
        content, json_length = write_response(response, infer_request)
        if json_length is None:
            return Response(content, media_type="application/json")
        return Response(
            content,
            media_type="application/octet-stream",
            headers={JSON_LENGTH_HEADER: str(json_length)},
        )

    async def _is_ready(self) -> bool:
        return not self._shutdown.has_begun and await self._model.healthy()

    async def _require_model(self, request: Request) -> None:
        path = request.path_params
        await require_model(self._model, path["model"], path.get("version"))

"""The ASGI classes that every request passes. Their order stands in ``app.py``."""

import asyncio
import json
from contextlib import suppress
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_proxy.allow_list import find_route, require_host
from auth_proxy.call import Call, attach_call, get_call
from auth_proxy.guards import Guards
from auth_proxy.request_body import ClientDisconnected, SlowRequest, limit_body
from auth_proxy.request_headers import read_headers, read_request_id
from auth_proxy.request_log import end_call
from pleura.allowed_hosts import AllowedHosts
from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, Overloaded, PleuraError, TooLarge, TooManyRequests
from pleura.observability.metrics import bind_log_ids
from pleura.request_id import REQUEST_ID_HEADER

_MAX_DRAINED_BYTES: Final = 8 * 2**20
_MAX_DRAIN_S: Final = 2.0
_SMALL_BYTES: Final = 16384
_ARRIVAL_S: Final = 0.01
_ID_HEADER: Final = REQUEST_ID_HEADER.encode()
log = structlog.get_logger()


class LogRequest:
    """ASGI middleware: add the request id to each answer, and write one line to the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = attach_call(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message["headers"], (_ID_HEADER, call.request_id.encode())]
            else:
                call.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            end_call(call, scope["method"])


class AnswerErrors:
    """ASGI middleware: answer each error as JSON. An error outside our family becomes "internal error"."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call, error = get_call(scope), PleuraError("internal error")
        try:
            await self._app(scope, receive, send)
        except PleuraError as raised:
            error = raised
        except ClientDisconnected:
            call.outcome = "client_gone"
            return
        except Exception as raised:
            log.error("internal_error", exc_info=raised)
        else:
            return
        call.outcome = error.code
        # an answer whose head is sent cannot become an error any more
        if call.status is None:
            await _send_error(error, call, receive, send)


async def _send_error(error: PleuraError, call: Call, receive: Receive, send: Send) -> None:
    body = json.dumps(error.document(call.request_id)).encode()
    is_small = 0 < int(call.headers.get("content-length", 0)) <= _SMALL_BYTES
    if isinstance(error, Overloaded | TooManyRequests) and is_small and not call.body_is_complete:
        await _receive_small_body(receive, call)
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if not call.body_is_complete:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if not call.body_is_complete:
        await _drain(receive)
    await send({"type": "http.response.body"})


async def _receive_small_body(receive: Receive, call: Call) -> None:
    """Receive a small body that comes with its head, so that the caller can keep the connection."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_ARRIVAL_S):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                call.end_body()


async def _drain(receive: Receive) -> None:
    """Receive what the caller still sends: a connection that closes at once would lose our answer."""
    left = _MAX_DRAINED_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_MAX_DRAIN_S):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message["body"])


class FindRoute:
    """ASGI middleware: read the headers, and find the route of the request in the allow-list.

    Args:
        hosts: Host names by which callers may reach the proxy; None for any.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts | None = None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call, raw = get_call(scope), scope["headers"]
        if not any(n == b"transfer-encoding" or (n == b"content-length" and v != b"0") for n, v in raw):
            call.end_body()
        call.headers = read_headers(raw)
        call.request_id = read_request_id(call.headers)
        names = [value for name, value in raw if name == b"host"]
        require_host(names)
        if self._hosts:
            self._hosts.require(names)
        call.route = find_route(scope["method"], scope["raw_path"], scope["query_string"])
        bind_log_ids(call.request_id, call.span.trace_id)
        await self._app(scope, receive, send)


class Admit:
    """ASGI middleware: let the request through if the guards admit it."""

    def __init__(self, app: ASGIApp, guards: Guards) -> None:
        self._app, self._guards = app, guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        async with self._guards.admit(get_call(scope)):
            await self._app(scope, receive, send)


class LimitSizeAndTime:
    """ASGI middleware: limit the size of a body, and the time from the head to the end of the answer."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app, self._max_bytes, self._timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        # digits only: http_framing refuses any other length
        if int(call.headers.get("content-length", 0)) > self._max_bytes:
            raise TooLarge(f"the body exceeds {self._max_bytes} bytes")
        call.deadline = Deadline.from_headers(call.headers, self._timeout_s)
        try:
            async with asyncio.timeout(call.deadline.remaining_s):
                await self._app(scope, limit_body(receive, call, self._max_bytes), send)
        except TimeoutError as error:
            if not call.body_is_complete:
                raise SlowRequest("the body did not arrive in time") from error
            raise DeadlineExceeded("the time for this request has run out") from error

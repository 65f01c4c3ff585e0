"""What stands in front of every route, as ASGI classes; their order stands in ``app.py``."""

import asyncio
import json
from contextlib import suppress
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_proxy.allow_list import check_host, route_of
from auth_proxy.call import Call, ClientGone, SlowRequest, begin_call, bounded, call_of
from auth_proxy.limits import InFlight, RateLimit
from auth_proxy.request_headers import headers_of, request_id_of
from auth_proxy.request_log import end_call
from auth_proxy.tokens.authenticator import Authenticator
from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, Overloaded, PleuraError, TooLarge, TooManyRequests
from pleura.observability.metrics import bind_log_ids

_MOST_TO_DRAIN_BYTES: Final = 8 * 2**20
_LONGEST_DRAIN_S: Final = 2.0
_SMALL_BYTES: Final = 16384
_ARRIVAL_S: Final = 0.01
log = structlog.get_logger()


class Audit:
    """ASGI middleware: give each answer its request's id, and write one line about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = begin_call(scope)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", call.request_id.encode())]
            else:
                call.bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            end_call(call, scope["method"])


class AnswerErrors:
    """ASGI middleware: the one form that a failure has; what is not of our family says nothing of itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call, error = call_of(scope), PleuraError("internal error")
        try:
            await self._app(scope, receive, send)
        except PleuraError as raised:
            error = raised
        except ClientGone:
            call.outcome = "client_gone"
            return
        except Exception as raised:
            log.error("internal_error", exc_info=raised)
        else:
            return
        call.outcome = error.code
        if call.status is None:
            await _send_error(error, scope, receive, send)


async def _send_error(error: PleuraError, scope: Scope, receive: Receive, send: Send) -> None:
    body, call = json.dumps({"error": str(error)}).encode(), call_of(scope)
    is_small = 0 < int(call.headers.get("content-length", 0)) <= _SMALL_BYTES
    if isinstance(error, Overloaded | TooManyRequests) and is_small and not call.body_is_complete:
        await _take_arrived(receive, call)
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if not call.body_is_complete:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if not call.body_is_complete:
        await _drain(receive)
    await send({"type": "http.response.body"})


async def _take_arrived(receive: Receive, call: Call) -> None:
    """Take a small body that comes with its head: who is to come again can keep the connection."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_ARRIVAL_S):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                call.end_body()


async def _drain(receive: Receive) -> None:
    """Take what the caller is still sending: closed at once, the connection would lose our answer."""
    left = _MOST_TO_DRAIN_BYTES
    try:
        async with asyncio.timeout(_LONGEST_DRAIN_S):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return


class AllowOnly:
    """ASGI middleware: let nothing through but the routes there are, and read its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call, raw = call_of(scope), scope["headers"]
        if not any(n == b"transfer-encoding" or (n == b"content-length" and v != b"0") for n, v in raw):
            call.end_body()
        call.headers = headers_of(raw)
        call.request_id = request_id_of(call.headers)
        check_host([value for name, value in raw if name == b"host"])
        call.route = route_of(scope["method"], scope["raw_path"], scope["query_string"])
        bind_log_ids(call.request_id, call.span.trace_id)
        await self._app(scope, receive, send)


class RequireToken:
    """ASGI middleware: let a request through only with a valid bearer token that has the route's scope."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app, self._authenticator = app, authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = call_of(scope)
        if call.route is not None and call.route.scope is not None:
            authorization = call.headers.get("authorization")
            principal = await self._authenticator.principal_of(authorization, call.route.scope)
            call.principal = principal.name
        await self._app(scope, receive, send)


class Limit:
    """ASGI middleware: bound what one principal asks, and what is in flight for all of them."""

    def __init__(self, app: ASGIApp, rate: RateLimit, in_flight: InFlight) -> None:
        self._app, self._rate, self._in_flight = app, rate, in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = call_of(scope)
        if call.principal is None:
            return await self._app(scope, receive, send)
        self._rate.take(call.principal)
        with self._in_flight.slot() as slot:
            try:
                return await self._app(scope, receive, send)
            finally:
                slot.since_s = call.body_ended_s


class BoundBody:
    """ASGI middleware: bound a request's size, and its time from head to the end of its answer."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app, self._max_bytes, self._timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = call_of(scope)
        if int(call.headers.get("content-length", 0)) > self._max_bytes:
            raise TooLarge(f"the body exceeds {self._max_bytes} bytes")
        call.deadline = Deadline.from_headers(call.headers, self._timeout_s)
        try:
            async with asyncio.timeout(call.deadline.remaining_s):
                await self._app(scope, bounded(receive, call, self._max_bytes), send)
        except TimeoutError as error:
            if not call.body_is_complete:
                raise SlowRequest("the body did not arrive in time") from error
            raise DeadlineExceeded("the time for this request has run out") from error

"""V2 over gRPC, passed through as bytes after the same checks as REST."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from auth_proxy.allow_list import Route
from auth_proxy.app import Guards
from auth_proxy.call import Call, SlowRequest
from auth_proxy.grpc_errors import error_of, grpc_status_of, trailing_metadata_of
from auth_proxy.metrics import UPSTREAM
from auth_proxy.request_headers import request_id_of
from auth_proxy.request_log import end_call
from auth_proxy.tokens.verification import CLASSIFY_SCOPE, READ_SCOPE
from pleura.errors import InvalidRequest, MethodNotAllowed, PleuraError
from pleura.observability.metrics import UNKNOWN_ROUTE, bind_log_ids, count_request

_SERVICE: Final = "/inference.GRPCInferenceService/"
_READING: Final = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata")
METHODS: Final[Mapping[str, Route]] = {
    _SERVICE + name: Route(f"grpc_{name}", "POST", re.compile(b""), scope)
    for name, scope in (*((name, READ_SCOPE) for name in _READING), ("ModelInfer", CLASSIFY_SCOPE))
}
"""The only gRPC methods there are; load and unload are not among them."""
_KEEP_ALIVE: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # a minute otherwise, whatever the keepalive's timeout is (tried)
)
_VERSION: Final = re.compile(rb"[0-9A-Za-z.-]{1,64}")
log = structlog.get_logger()

Messages = AsyncIterator[bytes]


def model_version_of(response: bytes) -> str | None:
    """Read ``model_version`` off a ModelInferResponse: the second field, behind ``model_name``.

    Source:
        Open Inference Protocol, grpc_predict_v2.proto; Protocol Buffers, "Encoding".
    """
    name_end = 2 + response[1] if response[:1] == b"\x0a" and len(response) > 1 else 0
    field = response[name_end : name_end + 2]
    if len(field) < 2 or field[0] != 0x12:
        return None
    version = response[name_end + 2 : name_end + 2 + field[1]]
    return version.decode() if _VERSION.fullmatch(version) else None


def _headers_of(context: aio.ServicerContext[bytes, bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        if name in headers and name in ("authorization", "x-request-id", "traceparent"):
            raise InvalidRequest(f"the metadata {name!r} occurs twice")
        if isinstance(value, str):
            headers[name] = value
    return headers


class GrpcProxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Every allowed method, answered by the transformer."""

    def __init__(self, guards: Guards, channel: aio.Channel) -> None:
        self._guards, self._channel = guards, channel

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Give the handler of a method; None, which answers UNIMPLEMENTED, for all that is not allowed."""
        route = METHODS.get(handler_call_details.method)
        if route is None:
            count_request(UNKNOWN_ROUTE, MethodNotAllowed.code, 0.0)
            return None
        ask = self._channel.unary_unary(handler_call_details.method)

        async def answer(messages: Messages, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            call = Call(route=route)
            try:
                return await self._answer(messages, context, call, ask)
            finally:
                end_call(call, "GRPC")

        # as a stream, on the wire the same: grpc would read a message of any size before anybody is asked for
        # a token, and hold a place for whoever never ends one
        return grpc.stream_unary_rpc_method_handler(answer)

    async def _answer(
        self,
        messages: Messages,
        context: aio.ServicerContext[bytes, bytes],
        call: Call,
        ask: Callable[..., Awaitable[bytes]],
    ) -> bytes:
        error = PleuraError("internal error")
        try:
            response = await self._checked(messages, context, call, ask)
        except PleuraError as raised:
            error = raised
        except asyncio.CancelledError:
            call.outcome = "client_gone"
            raise
        except Exception as raised:
            log.error("internal_error", exc_info=raised)
        else:
            call.model_version, call.bytes_out, call.status = model_version_of(response), len(response), 200
            context.set_trailing_metadata((("x-request-id", call.request_id),))
            return response
        call.outcome, call.status = error.code, error.status
        named = ("x-request-id", call.request_id)
        context.set_trailing_metadata((named, *trailing_metadata_of(error)))
        await context.abort(grpc_status_of(error), str(error))
        raise error  # abort has raised already

    async def _checked(
        self,
        messages: Messages,
        context: aio.ServicerContext[bytes, bytes],
        call: Call,
        ask: Callable[..., Awaitable[bytes]],
    ) -> bytes:
        call.headers = _headers_of(context)
        call.request_id = request_id_of(call.headers)
        bind_log_ids(call.request_id, call.span.trace_id)
        scope = call.route.scope if call.route else None
        principal = await self._guards.authenticator.principal_of(
            call.headers.get("authorization"), scope or READ_SCOPE
        )
        call.principal = principal.name
        self._guards.rate.take(principal.name)
        left_s = context.time_remaining()
        timeout_s = min(self._guards.timeout_s, self._guards.timeout_s if left_s is None else left_s)
        metadata = {"x-request-id": call.request_id, "x-pleura-principal": principal.name}
        with self._guards.in_flight.slot() as slot, UPSTREAM["grpc"].time():
            request = await _message_of(messages, timeout_s)
            call.bytes_in, slot.since_s = len(request), time.monotonic()
            try:
                return await ask(
                    request,
                    timeout=max(0.001, timeout_s),
                    metadata=tuple((metadata | call.span.as_headers()).items()),
                )
            except aio.AioRpcError as error:
                raise error_of(error) from error


async def _message_of(messages: Messages, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(messages)
    except TimeoutError as error:
        raise SlowRequest("the message did not arrive in time") from error
    except StopAsyncIteration as error:
        raise InvalidRequest("the call holds no message") from error


def open_channel(address: str, max_message_bytes: int) -> aio.Channel:
    """Connect to the transformer; every address behind the name is used in turn.

    gRPC sends a call again only where the transformer has not seen it, as when that one has said GOAWAY.
    """
    options = (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        *_KEEP_ALIVE,
    )
    return aio.insecure_channel(address, options=options)


def build_server(guards: Guards, channel: aio.Channel, address: str) -> aio.Server:
    """Put the gRPC side together.

    Raises:
        RuntimeError: The port is taken.
    """
    server = aio.server(
        handlers=(GrpcProxy(guards, channel),),
        options=(
            ("grpc.max_receive_message_length", guards.max_body_bytes),
            ("grpc.max_send_message_length", guards.max_body_bytes),
            ("grpc.max_metadata_size", 16384),
            ("grpc.max_concurrent_streams", 256),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ),
        maximum_concurrent_rpcs=1024,
    )
    server.add_insecure_port(address)
    return server

"""V2 over gRPC: messages pass as bytes, after the same checks as REST."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from auth_proxy.allow_list import GRPC_ROUTES, Route
from auth_proxy.call import Call
from auth_proxy.grpc_errors import convert_rpc_error, get_grpc_status
from auth_proxy.grpc_health import GrpcHealth
from auth_proxy.guards import Guards
from auth_proxy.metrics import UPSTREAM
from auth_proxy.request_body import SlowRequest
from auth_proxy.request_headers import read_request_id
from auth_proxy.request_log import end_call
from pleura.errors import InvalidRequest, MethodNotAllowed, PleuraError
from pleura.observability.metrics import UNKNOWN_ROUTE, bind_log_ids, count_request
from pleura.request_id import REQUEST_ID_HEADER
from pleura.serving.grpc_status import build_error_metadata

_SINGLE: Final = ("authorization", REQUEST_ID_HEADER, "traceparent")
_KEEP_ALIVE: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # else a minute, whatever the keepalive's timeout is (tried)
)
_VERSION: Final = re.compile(rb"[0-9A-Za-z.-]{1,64}")
log = structlog.get_logger()

Context = Any  # grpc has no types
Messages = AsyncIterator[bytes]


Forward = Callable[..., Awaitable[bytes]]


def read_model_version(response: bytes) -> str | None:
    """Read ``model_version`` from a ModelInferResponse: it is the second field, behind ``model_name``.

    Source:
        Open Inference Protocol, grpc_predict_v2.proto; Protocol Buffers, "Encoding".
    """
    name_end = 2 + response[1] if response[:1] == b"\x0a" and len(response) > 1 else 0
    field = response[name_end : name_end + 2]
    if len(field) < 2 or field[0] != 0x12:
        return None
    version = response[name_end + 2 : name_end + 2 + field[1]]
    return version.decode() if _VERSION.fullmatch(version) else None


class GrpcProxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers every method of the allow-list with the transformer's answer.

    Args:
        headers: Metadata that each call to the transformer carries, besides its own.
    """

    def __init__(
        self, guards: Guards, channel: aio.Channel, health: GrpcHealth, headers: Mapping[str, str]
    ) -> None:
        self._guards, self._channel, self._health = guards, channel, health
        self._metadata = tuple(headers.items())

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the handler of a method. None for a method outside the allow-list answers UNIMPLEMENTED."""
        route = GRPC_ROUTES.get(handler_call_details.method)
        if route is None:
            count_request(UNKNOWN_ROUTE, MethodNotAllowed.code, 0.0)
            return None
        # without serializers, so that both messages pass to the byte
        forward = self._channel.unary_unary(handler_call_details.method)

        async def answer(messages: Messages, context: Context) -> bytes:
            call = Call(route=route)
            try:
                return await self._answer(messages, context, call, forward)
            finally:
                end_call(call, "GRPC")

        # A stream is the same on the wire. As a single message, grpc would read any size before the token is
        # checked, and hold a place for a caller who never ends the message.
        return grpc.stream_unary_rpc_method_handler(answer)

    async def _answer(self, messages: Messages, context: Context, call: Call, forward: Forward) -> bytes:
        error = PleuraError("internal error")
        try:
            response = await self._admit_and_forward(messages, context, call, forward)
        except PleuraError as raised:
            error = raised
        except asyncio.CancelledError:
            call.outcome = "client_gone"
            raise
        except Exception as raised:
            log.error("internal_error", exc_info=raised)
        else:
            call.model_version, call.bytes_out, call.status = read_model_version(response), len(response), 200
            context.set_trailing_metadata(((REQUEST_ID_HEADER, call.request_id),))
            return response
        call.outcome, call.status = error.code, error.status
        context.set_trailing_metadata(build_error_metadata(error, call.request_id))
        await context.abort(get_grpc_status(error), str(error))
        raise error  # abort has raised already

    async def _admit_and_forward(
        self, messages: Messages, context: Context, call: Call, forward: Forward
    ) -> bytes:
        call.headers = _read_metadata(context)
        call.request_id = read_request_id(call.headers)
        bind_log_ids(call.request_id, call.span.trace_id)
        if call.route and _is_open(call.route, call.headers):
            return await self._health.answer(call.route, messages)
        async with self._guards.admit(call):
            remaining_s = context.time_remaining()
            timeout_s = min(
                self._guards.timeout_s, self._guards.timeout_s if remaining_s is None else remaining_s
            )
            with UPSTREAM["grpc"].time():
                message = await _read_message(messages, timeout_s)
                call.bytes_in = len(message)
                call.end_body()
                metadata = (*_build_metadata(call), *self._metadata)
                try:
                    return await forward(message, timeout=max(0.001, timeout_s), metadata=metadata)
                except aio.AioRpcError as error:
                    raise convert_rpc_error(error) from error


def _is_open(route: Route, headers: Mapping[str, str]) -> bool:
    """Say whether a call needs no token. Whoever brings one for ModelReady may also name a version."""
    return route.scope is None or (route.name == "grpc_ModelReady" and "authorization" not in headers)


def _read_metadata(context: Context) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        if name in headers and name in _SINGLE:
            raise InvalidRequest(f"the metadata {name!r} occurs twice")
        if isinstance(value, str):
            headers[name] = value
    return headers


def _build_metadata(call: Call) -> tuple[tuple[str, str], ...]:
    principal = {REQUEST_ID_HEADER: call.request_id, "x-pleura-principal": call.principal or ""}
    return tuple((principal | call.span.as_headers()).items())


async def _read_message(messages: Messages, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(messages)
    except TimeoutError as error:
        raise SlowRequest("the message did not arrive in time") from error
    except StopAsyncIteration as error:
        raise InvalidRequest("the call holds no message") from error


def open_channel(address: str, max_message_bytes: int) -> aio.Channel:
    """Connect to the transformer. Every address behind the name is used in turn.

    gRPC sends a call again only if the transformer has not seen it, for example after GOAWAY.
    """
    options = (
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # gRPC's default, pick_first, would send all calls to one of the transformer's pods
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_http_proxy", 0),  # gRPC follows http_proxy of the environment otherwise
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        *_KEEP_ALIVE,
    )
    return aio.insecure_channel(address, options=options)


def build_server(proxy: GrpcProxy, max_message_bytes: int, address: str) -> aio.Server:
    """Build the gRPC server.

    Raises:
        RuntimeError: Another program listens on the port.
    """
    server = aio.server(
        handlers=(proxy,),
        options=(
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_metadata_size", 16384),
            ("grpc.max_concurrent_streams", 256),
            ("grpc.so_reuseport", 0),  # a second process could share the port without an error
            # by default gRPC cuts off a caller whose pings come more often than every five minutes
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ),
        maximum_concurrent_rpcs=1024,
    )
    server.add_insecure_port(address)
    return server

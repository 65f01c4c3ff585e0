"""Who may call a model server: services that hold the key. Health and metrics are open to all."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
from grpc import aio
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from pleura.allowed_hosts import AllowedHosts
from pleura.errors import PleuraError, ServiceKeyRequired, UnsupportedMediaType
from pleura.observability.metrics import UNKNOWN_ROUTE, count_request
from pleura.service_key import SERVICE_KEY_HEADER, ServiceKeys
from pleura.serving.grpc_health import CHECK_METHOD, V2_SERVICE
from pleura.serving.grpc_status import abort_call
from pleura.serving.rest_server import JSON_LENGTH_HEADER, to_v2_error

_OPEN_PATH: Final = re.compile(r"/healthz|/readyz|/metrics|/v2/health/(live|ready)|/v2/models/[^/]+/ready")
_OPEN_METHODS: Final = frozenset({CHECK_METHOD, f"/{V2_SERVICE}/ServerLive", f"/{V2_SERVICE}/ServerReady"})
_MEDIA_TYPES: Final = frozenset({b"application/json", b"application/octet-stream"})
_KEY_HEADER: Final = SERVICE_KEY_HEADER.encode()
_LENGTH_HEADER: Final = JSON_LENGTH_HEADER.encode()


class RequireService:
    """ASGI middleware: let services pass, and everybody to health and metrics. The key ends here."""

    def __init__(self, app: ASGIApp, keys: ServiceKeys, hosts: AllowedHosts) -> None:
        self._app, self._keys, self._hosts = app, keys, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._require(scope)
        except PleuraError as error:
            count_request(UNKNOWN_ROUTE, error.code, 0.0)
            response = await to_v2_error(Request(scope), error)
            response.headers["connection"] = "close"  # the rest of the request is not read
            await response(scope, receive, send)
            return
        # behind this point a header may reach a log or a trace
        headers = [(name, value) for name, value in scope["headers"] if name != _KEY_HEADER]
        await self._app({**scope, "headers": headers}, receive, send)

    def _require(self, scope: Scope) -> None:
        keys = _read(scope, _KEY_HEADER)
        # a page of a browser does not have the key, whatever host it names
        has_key = self._keys.accepts(keys)
        if not has_key:
            self._hosts.require(_read(scope, b"host"))
        if _OPEN_PATH.fullmatch(scope["path"]):
            self._keys.refuse_wrong(keys)
        else:
            self._keys.require(keys)
        if scope["method"] == "POST":
            _require_media_type(scope, is_optional=has_key)


def _read(scope: Scope, name: bytes) -> Sequence[bytes]:
    return [value for each, value in scope["headers"] if each == name]


def _require_media_type(scope: Scope, is_optional: bool) -> None:
    """Require a media type that a browser sends to another server only after it has asked that server (CORS).

    NVIDIA's client sends none. With binary tensors it sends the length of the JSON part, as no page can.

    Raises:
        UnsupportedMediaType: A web page can send the request without asking.

    Source:
        Fetch standard, "CORS-safelisted request-header".
    """
    types = [value.partition(b";")[0].strip().lower() for value in _read(scope, b"content-type")]
    is_allowed = _MEDIA_TYPES.issuperset(types) if types else is_optional or _read(scope, _LENGTH_HEADER)
    if not is_allowed:
        raise UnsupportedMediaType("content-type must be application/json, or application/octet-stream")


class RequireServiceCall(aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """gRPC interceptor: let services pass, and everybody to health.

    A web page cannot call it: a browser speaks HTTP/2 with TLS only.
    """

    def __init__(self, keys: ServiceKeys) -> None:
        self._keys = keys

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Return the handler of a call, or one that refuses it."""
        metadata = handler_call_details.invocation_metadata or ()
        given = [value.encode() for name, value in metadata if name == SERVICE_KEY_HEADER]
        is_open = handler_call_details.method in _OPEN_METHODS
        try:
            (self._keys.refuse_wrong if is_open else self._keys.require)(given)
        except ServiceKeyRequired as error:
            return _refuse(error)
        return await continuation(handler_call_details)


def _refuse(error: ServiceKeyRequired) -> Any:
    async def abort(messages: Any, context: Any) -> None:
        count_request(UNKNOWN_ROUTE, error.code, 0.0)
        await abort_call(context, error)

    # a stream, because grpc would read the whole message of a single request before it calls the handler
    return grpc.stream_unary_rpc_method_handler(abort)

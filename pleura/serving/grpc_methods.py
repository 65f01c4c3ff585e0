"""Registration of the V2 gRPC methods, from the bytes of a message to the bytes of the response.

kserve's own registration also offers load and unload. It lets grpc parse the messages, which answers UNKNOWN,
an error of the server, to a message that is not protobuf.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no types
from grpc import aio

from pleura.errors import InvalidRequest, PleuraError
from pleura.serving.grpc_health import V2_SERVICE
from pleura.serving.grpc_status import abort_call
from pleura.serving.kserve_import import grpc_messages as pb

_REQUESTS: Final[Mapping[str, Any]] = {
    "ServerLive": pb.ServerLiveRequest,
    "ServerReady": pb.ServerReadyRequest,
    "ServerMetadata": pb.ServerMetadataRequest,
    "ModelReady": pb.ModelReadyRequest,
    "ModelMetadata": pb.ModelMetadataRequest,
    "ModelInfer": pb.ModelInferRequest,
}
Method = Callable[[Any, Any], Awaitable[Any]]
log = structlog.get_logger()


def make_v2_handler(servicer: object) -> grpc.GenericRpcHandler:
    """Register the methods of a servicer. An unexpected failure of a method gives no detail."""
    return grpc.method_handlers_generic_handler(
        V2_SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(_make_method(getattr(servicer, name), request))
            for name, request in _REQUESTS.items()
        },
    )


def _make_method(method: Method, request: Any) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def answer(message: bytes, context: Any) -> bytes:
        try:
            parsed = request.FromString(message)
        except DecodeError:
            await abort_call(context, InvalidRequest("the message is not of its type"))
        try:
            return bytes((await method(parsed, context)).SerializeToString())
        except (aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("internal_error", exc_info=error)
            await abort_call(context, PleuraError("internal error"))
            raise

    return answer

"""The V2 gRPC methods that there are, from the bytes of a message to those of the answer.

kserve's registration lets grpc parse the messages, which blames the server (UNKNOWN, with the parser's words)
for what is no protobuf, and offers load and unload.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no types
from grpc import aio

from pleura.errors import ERROR_CODE_HEADER, InvalidRequest
from pleura.serving.kserve_import import grpc_messages as pb

_SERVICE: Final = "inference.GRPCInferenceService"
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


def v2_handlers(servicer: object) -> grpc.GenericRpcHandler:
    """Serve the methods of a servicer; there are no others, and no failure of theirs says what it was."""
    return grpc.method_handlers_generic_handler(
        _SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(_handler(getattr(servicer, name), request))
            for name, request in _REQUESTS.items()
        },
    )


def _handler(method: Method, request: Any) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def answer(message: bytes, context: Any) -> bytes:
        try:
            read = request.FromString(message)
        except DecodeError:
            context.set_trailing_metadata(((ERROR_CODE_HEADER, InvalidRequest.code),))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is not of its type")
        try:
            return bytes((await method(read, context)).SerializeToString())
        except (aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error("internal_error", exc_info=error)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
            raise

    return answer

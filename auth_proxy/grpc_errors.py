"""Errors over gRPC: ours with the status that REST would have, the transformer's as it says them."""

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import structlog
from grpc import aio

from pleura.errors import DeadlineExceeded, PleuraError, Unavailable

_ERROR_CODE: Final = "pleura-error"
_RETRY_AFTER: Final = "retry-after"
_STATUS: Final[Mapping[int, grpc.StatusCode]] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    502: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
log = structlog.get_logger()


class Failed(PleuraError):
    """The transformer's own error, passed on as it is."""

    def __init__(self, error: aio.AioRpcError) -> None:
        super().__init__(error.details() or "")
        self.grpc_status = error.code()
        trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
        self.code = trailing.get(_ERROR_CODE, "internal")
        self.retry_after = trailing.get(_RETRY_AFTER)

    @property
    def headers(self) -> Mapping[str, str]:
        return {_RETRY_AFTER: self.retry_after} if self.retry_after else {}


def error_of(error: aio.AioRpcError) -> PleuraError:
    """What grpc says of itself names inner addresses; only what the transformer says is passed on."""
    if any(name == _ERROR_CODE for name, _ in error.trailing_metadata() or ()):
        return Failed(error)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the time for this request has run out")
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return Unavailable("the transformer does not answer")
    log.error("upstream_error", grpc_code=error.code().name)
    return PleuraError("internal error")


def grpc_status_of(error: PleuraError) -> grpc.StatusCode:
    """The status that an error has over gRPC."""
    if isinstance(error, Failed):
        return error.grpc_status
    return _STATUS.get(error.status, grpc.StatusCode.INTERNAL)


def trailing_metadata_of(error: PleuraError) -> Sequence[tuple[str, str]]:
    """What follows an error: its code, and when to ask again."""
    retry_after = error.headers.get(_RETRY_AFTER)
    return ((_ERROR_CODE, error.code), *(((_RETRY_AFTER, retry_after),) if retry_after else ()))

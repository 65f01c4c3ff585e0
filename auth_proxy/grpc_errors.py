"""Errors over gRPC: ours with the status that REST would have, the transformer's as it says them."""

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import structlog
from grpc import aio

from pleura.errors import ERROR_CODE_HEADER, DeadlineExceeded, PleuraError, Unavailable
from pleura.serving.grpc_status import GRPC_STATUS, status_of

_RETRY_AFTER: Final = "retry-after"
log = structlog.get_logger()


class Failed(PleuraError):
    """The transformer's own error, passed on as it is."""

    def __init__(self, error: aio.AioRpcError) -> None:
        super().__init__(error.details() or "")
        self.grpc_status, self.status = error.code(), status_of(error.code())
        trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
        self.code = trailing.get(ERROR_CODE_HEADER, "internal")
        self.retry_after = trailing.get(_RETRY_AFTER)

    @property
    def headers(self) -> Mapping[str, str]:
        return {_RETRY_AFTER: self.retry_after} if self.retry_after else {}


def error_of(error: aio.AioRpcError) -> PleuraError:
    """What grpc says of itself names inner addresses; only what the transformer says is passed on."""
    if any(name == ERROR_CODE_HEADER for name, _ in error.trailing_metadata() or ()):
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
    return GRPC_STATUS.get(error.status, grpc.StatusCode.INTERNAL)


def trailing_metadata_of(error: PleuraError) -> Sequence[tuple[str, str]]:
    """What follows an error: its code, and when to ask again."""
    retry_after = error.headers.get(_RETRY_AFTER)
    return ((ERROR_CODE_HEADER, error.code), *(((_RETRY_AFTER, retry_after),) if retry_after else ()))

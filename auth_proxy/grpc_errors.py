"""Map errors to gRPC: our own errors get the status of REST, the transformer's errors stay as they are."""

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import structlog
from grpc import aio

from pleura.errors import ERROR_CODE_HEADER, DeadlineExceeded, PleuraError, Unavailable
from pleura.serving.grpc_status import GRPC_STATUS, status_of

_RETRY_AFTER: Final = "retry-after"
_PASSED_HEADERS: Final = (_RETRY_AFTER, "www-authenticate")
log = structlog.get_logger()


class TransformerError(PleuraError):
    """An error of the transformer. The caller gets its status, its code and its message."""

    def __init__(self, error: aio.AioRpcError) -> None:
        super().__init__(error.details() or "")
        self.grpc_status, self.status = error.code(), status_of(error.code())
        trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
        self.code = trailing.get(ERROR_CODE_HEADER, "internal")
        self.retry_after = trailing.get(_RETRY_AFTER)

    @property
    def headers(self) -> Mapping[str, str]:
        """When to send the request again, if the transformer says so."""
        return {_RETRY_AFTER: self.retry_after} if self.retry_after else {}


def convert_rpc_error(error: aio.AioRpcError) -> PleuraError:
    """Convert an error of the call to the transformer.

    Only a message of the transformer is passed on: a message of grpc itself names inner addresses.
    """
    if any(name == ERROR_CODE_HEADER for name, _ in error.trailing_metadata() or ()):
        return TransformerError(error)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("the time for this request has run out")
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return Unavailable("the transformer does not answer")
    log.error("transformer_call_failed", grpc_code=error.code().name)
    return PleuraError("internal error")


def get_grpc_status(error: PleuraError) -> grpc.StatusCode:
    """Return the gRPC status of an error."""
    if isinstance(error, TransformerError):
        return error.grpc_status
    return GRPC_STATUS.get(error.status, grpc.StatusCode.INTERNAL)


def build_trailing_metadata(error: PleuraError) -> Sequence[tuple[str, str]]:
    """Build the metadata behind an error: its code, when to send again, and which token is needed."""
    headers = error.headers
    passed = ((name, headers[name]) for name in _PASSED_HEADERS if name in headers)
    return ((ERROR_CODE_HEADER, error.code), *passed)

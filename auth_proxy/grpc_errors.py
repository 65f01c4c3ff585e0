"""Map errors to gRPC: our own errors get the status of REST, the transformer's errors stay as they are."""

import json
from collections.abc import Mapping
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from pleura.errors import (
    ERROR_CODE_HEADER,
    ERROR_DETAILS_HEADER,
    DeadlineExceeded,
    PleuraError,
    ServiceKeyRequired,
    Unavailable,
    select_details,
)
from pleura.serving.grpc_status import GRPC_STATUS, status_of

_RETRY_AFTER: Final = "retry-after"
log = structlog.get_logger()


class TransformerError(PleuraError):
    """An error of the transformer. The caller gets its status, its code and its message."""

    def __init__(self, error: aio.AioRpcError) -> None:
        super().__init__(error.details() or "")
        self.grpc_status, self.status = error.code(), status_of(error.code())
        trailing = {name: value for name, value in error.trailing_metadata() or () if isinstance(value, str)}
        self.code = trailing.get(ERROR_CODE_HEADER, "internal")
        self.retry_after = trailing.get(_RETRY_AFTER)
        self._details = _parse_details(trailing.get(ERROR_DETAILS_HEADER, "{}"))

    @property
    def headers(self) -> Mapping[str, str]:
        """When to send the request again, if the transformer says so."""
        return {_RETRY_AFTER: self.retry_after} if self.retry_after else {}

    @property
    def details(self) -> Mapping[str, Any]:
        """The details that the transformer gives."""
        return self._details


def _parse_details(text: str) -> Mapping[str, Any]:
    try:
        return select_details(json.loads(text))
    except ValueError:
        return {}


def convert_rpc_error(error: aio.AioRpcError) -> PleuraError:
    """Convert an error of the call to the transformer.

    Only a message of the transformer is passed on: a message of grpc itself names inner addresses.
    """
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:  # it asks for the service key, not for a token
        log.error("transformer_refused_proxy", status=error.code().name, code=ServiceKeyRequired.code)
        return Unavailable("the transformer does not answer")
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

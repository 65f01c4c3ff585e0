"""Errors over gRPC: the status for each HTTP status, and back, and the metadata of an error."""

import json
from collections.abc import Mapping
from typing import Any, Final

import grpc

from pleura.errors import ERROR_CODE_HEADER, ERROR_DETAILS_HEADER, PleuraError
from pleura.request_id import REQUEST_ID_HEADER, find_request_id, hide_unsafe_id

_PASSED_HEADERS: Final = ("retry-after", "www-authenticate")
_MAX_DETAILS: Final = 4096

GRPC_STATUS: Final[Mapping[int, grpc.StatusCode]] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ALREADY_EXISTS,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    421: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# several have one gRPC status, which must become the most general of them again
_STATUS: Final = {code: status for status, code in GRPC_STATUS.items()} | {
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
}


def status_of(code: grpc.StatusCode) -> int:
    """Convert a gRPC status to the HTTP status; 500 for a gRPC status that our services do not use."""
    return _STATUS.get(code, 500)


def build_error_metadata(error: PleuraError, request_id: str) -> tuple[tuple[str, str], ...]:
    """Build the trailing metadata of an error: what over REST stands in its body and its headers."""
    headers = error.headers
    metadata = [(ERROR_CODE_HEADER, error.code), (REQUEST_ID_HEADER, request_id)]
    metadata += [(name, headers[name]) for name in _PASSED_HEADERS if name in headers]
    details = json.dumps(_without_texts(error.details))
    # a client drops the whole call whose metadata exceed 8 KiB, and the message has its part of them
    if error.details and len(details) <= _MAX_DETAILS:
        metadata.append((ERROR_DETAILS_HEADER, details))
    return tuple(metadata)


def _without_texts(details: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the texts of failed elements, which stand in the message."""
    kept = dict(details)
    if isinstance(elements := kept.get("elements"), list):
        kept["elements"] = [
            {name: value for name, value in element.items() if name != "error"}
            for element in elements
            if isinstance(element, dict)
        ]
    return kept


async def abort_call(context: Any, error: PleuraError, request_id: str | None = None) -> None:
    """End a call with an error. Without an id it gets the one of the caller's metadata, or a new one."""
    if request_id is None:
        metadata = context.invocation_metadata() or ()
        request_id = find_request_id({name: value for name, value in metadata if isinstance(value, str)})
    context.set_trailing_metadata(build_error_metadata(error, hide_unsafe_id(request_id)))
    await context.abort(GRPC_STATUS[error.status], str(error))

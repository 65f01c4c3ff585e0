"""The gRPC status of each HTTP status, and back."""

from collections.abc import Mapping
from typing import Final

import grpc

GRPC_STATUS: Final[Mapping[int, grpc.StatusCode]] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ALREADY_EXISTS,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# 500 and 502 have one gRPC status, which must become 500 again
_STATUS: Final = {code: status for status, code in GRPC_STATUS.items()} | {grpc.StatusCode.INTERNAL: 500}


def status_of(code: grpc.StatusCode) -> int:
    """Convert a gRPC status to the HTTP status; 500 for a gRPC status that our services do not use."""
    return _STATUS.get(code, 500)

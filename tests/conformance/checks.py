"""Checks that every error must pass, for any cause and any transport."""

import re

from tests.conformance.servers import GrpcAnswer, HttpAnswer, V2Servers
from tests.conformance.ways import TransportAnswer
from tests.support.errors import CODES, check_error

_INTERNALS = re.compile(
    r"127\.0\.0\.1|localhost|https?://|Traceback|File \"|\.py\b|/(?:tmp|home|root|usr|var)/"
    r"|r[01]\.png|0x[0-9a-f]{6}"
    r"|kserve|orjson|pydantic|numpy|starlette|fastapi|uvicorn|h11|httpx|protobuf|minio|psycopg|postgres|redis"
    r"|valkey|seaweed|tensorflow|pydicom|opencv|cv2|zlib|Exception|Error\b",
    re.IGNORECASE,
)
_ANSWERED_BY_GRPC = ("UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
"""grpc itself answers an unknown method, a message over the limit and an expired deadline."""


def check_hides_internals(servers: V2Servers, text: str) -> None:
    """Check that an error text names no address, path, traceback, object key or library."""
    assert not _INTERNALS.search(text), text
    assert not any(address in text for address in servers.internal_addresses), text


def check_http_error(servers: V2Servers, answer: HttpAnswer, via_proxy: bool) -> None:
    """Check that an error has text, code and request id, and says when to retry."""
    assert answer.status >= 400
    assert answer.headers["content-type"] == "application/json"
    check_error(answer.document)
    check_hides_internals(servers, answer.document["error"])
    if answer.status in (429, 503):
        assert int(answer.headers["retry-after"]) > 0
    if answer.status == 405:
        assert answer.headers["allow"]
    if via_proxy:
        assert answer.headers["x-request-id"] == answer.document["request_id"]


def check_grpc_error(servers: V2Servers, answer: GrpcAnswer) -> None:
    """Check that an error has a specific code and its kind, names its request, and says when to retry."""
    assert answer.code.name not in ("OK", "UNKNOWN")
    assert answer.details
    check_hides_internals(servers, answer.details)
    if answer.code.name == "UNAVAILABLE":
        assert int(answer.trailing["retry-after"]) > 0
    if answer.code.name not in _ANSWERED_BY_GRPC:
        assert answer.trailing["pleura-error"] in CODES
        assert answer.trailing["x-request-id"]


def check_answer_error(servers: V2Servers, answer: TransportAnswer) -> None:
    """Check that the error text of the caller's client hides internals."""
    assert answer.error
    check_hides_internals(servers, answer.error)

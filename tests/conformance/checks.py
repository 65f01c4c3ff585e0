"""What holds of every error, whatever caused it and however it was asked for."""

import re

from tests.conformance.hops import GrpcAnswer, Hops, HttpAnswer
from tests.conformance.ways import WayAnswer

_INSIDE = re.compile(
    r"127\.0\.0\.1|localhost|https?://|Traceback|File \"|\.py\b|/(?:tmp|home|root|usr|var)/"
    r"|r[01]\.png|0x[0-9a-f]{6}"
    r"|kserve|orjson|pydantic|numpy|starlette|fastapi|uvicorn|h11|httpx|protobuf|minio|psycopg|postgres|redis"
    r"|valkey|seaweed|tensorflow|pydicom|opencv|cv2|zlib|Exception|Error\b",
    re.IGNORECASE,
)
_WORDED_BY_GRPC = ("UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
"""An unknown method, a message over the limit and time that has run out are answered before us."""


def check_says_nothing_of_the_inside(hops: Hops, text: str) -> None:
    """No address, path, traceback, object key or library stands in what a caller reads of an error."""
    assert not _INSIDE.search(text), text
    assert not any(inner in text for inner in hops.inner), text


def check_http_error(hops: Hops, answer: HttpAnswer, via_proxy: bool) -> None:
    """An error is ``{"error": "..."}`` and nothing else, names its request, and says when to come back."""
    assert answer.status >= 400
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.document) == ["error"]
    error = answer.document["error"]
    assert isinstance(error, str)
    assert error
    check_says_nothing_of_the_inside(hops, error)
    if answer.status in (429, 503):
        assert int(answer.headers["retry-after"]) > 0
    if answer.status == 405:
        assert answer.headers["allow"]
    if via_proxy:
        assert answer.headers["x-request-id"]


def check_grpc_error(hops: Hops, answer: GrpcAnswer, via_proxy: bool) -> None:
    """An error has a code that means something, its kind, and says when to come back."""
    assert answer.code.name not in ("OK", "UNKNOWN")
    assert answer.details
    check_says_nothing_of_the_inside(hops, answer.details)
    if answer.code.name == "UNAVAILABLE":
        assert int(answer.trailing["retry-after"]) > 0
    if via_proxy and answer.code.name not in _WORDED_BY_GRPC:
        assert answer.trailing["pleura-error"]
        assert answer.trailing["x-request-id"]


def check_answer_error(hops: Hops, answer: WayAnswer) -> None:
    """The text of an error, as the caller's client gives it, says nothing of the inside."""
    assert answer.error
    check_says_nothing_of_the_inside(hops, answer.error)

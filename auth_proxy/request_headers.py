"""What a request carries from hop to hop: its id, and nothing else that a caller sets but its trace."""

import re
import uuid
from collections.abc import Mapping
from typing import Final

from pleura.errors import InvalidRequest

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

FORWARDED: Final = frozenset(
    {"content-type", "content-encoding", "inference-header-content-length", "accept"}
)
"""The only headers that reach the transformer as the caller wrote them.

A list of what may pass, not of what may not: identity headers, their twins with underscores,
``X-Forwarded-*``, ``Forwarded``, cookies, B3 traces and the token are not on it.
"""
_ONCE: Final = FORWARDED | {
    "authorization",
    "content-length",
    "host",
    "traceparent",
    "tracestate",
    "x-request-id",
    "x-request-timeout-ms",
}


def headers_of(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Read headers by name.

    Raises:
        InvalidRequest: A header that may occur once occurs twice.
    """
    headers: dict[str, str] = {}
    for raw_name, value in raw:
        name = raw_name.decode("latin-1")
        if name in headers and name in _ONCE:
            raise InvalidRequest(f"the header {name!r} occurs twice")
        headers[name] = value.decode("latin-1")
    return headers


def new_request_id() -> str:
    """An id for a request that brings none."""
    return str(uuid.uuid4())


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's id of the request, or a new one.

    Raises:
        InvalidRequest: The caller's id cannot be kept; a new one in its place would break idempotency.
    """
    request_id = headers.get("x-request-id")
    if request_id is None:
        return new_request_id()
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidRequest("x-request-id must be 1 to 128 letters, digits and any of . _ : -")
    return request_id


def forwarded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Take the headers that may pass, less those that ``Connection`` declares for this hop only."""
    hop = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return {name: headers[name] for name in FORWARDED if name in headers and name not in hop}

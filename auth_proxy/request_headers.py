"""Read the headers of a request, and select the few that reach the transformer."""

from collections.abc import Mapping
from typing import Final

from pleura.errors import InvalidRequest
from pleura.request_id import REQUEST_ID_HEADER, is_safe_id, new_request_id

JSON_LENGTH_HEADER: Final = "inference-header-content-length"
"""Header of a binary body that gives the length of its JSON part."""
FORWARDED: Final = frozenset({"content-type", "content-encoding", JSON_LENGTH_HEADER, "accept"})
"""The only headers that reach the transformer as the caller wrote them.

This is a list of what may pass. So identity headers, their twins with underscores, ``X-Forwarded-*``,
``Forwarded``, cookies, B3 traces and the token do not pass.
"""
_SINGLE: Final = FORWARDED | {
    "authorization",
    "content-length",
    "host",
    "traceparent",
    "tracestate",
    REQUEST_ID_HEADER,
    "x-request-timeout-ms",
}


def read_headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Read the headers by name.

    Raises:
        InvalidRequest: A header that may occur once occurs twice.
    """
    headers: dict[str, str] = {}
    for raw_name, value in raw:
        name = raw_name.decode("latin-1")
        if name in headers and name in _SINGLE:
            # programs differ in which of the two they take (docs/decisions/0036)
            raise InvalidRequest(f"the header {name!r} occurs twice")
        # latin-1 reads any byte: a header beyond ASCII was an internal error once (docs/decisions/0042)
        headers[name] = value.decode("latin-1")
    return headers


def read_request_id(headers: Mapping[str, str]) -> str:
    """Read the caller's request id, or make a new one where the caller sends none.

    Raises:
        InvalidRequest: The caller's id is malformed. To replace it would break idempotency.
    """
    request_id = headers.get(REQUEST_ID_HEADER)
    if request_id is None:
        return new_request_id()
    if not is_safe_id(request_id):
        raise InvalidRequest("x-request-id must be 1 to 128 letters, digits and any of . _ : -")
    return request_id


def select_forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """Select the headers that may pass, in printable ASCII, except those that ``Connection`` names.

    Raises:
        InvalidRequest: ``inference-header-content-length`` is not ASCII. Without it the transformer would
            read the body otherwise than the caller wrote it.
    """
    if not headers.get(JSON_LENGTH_HEADER, "").isascii():
        raise InvalidRequest(f"'{JSON_LENGTH_HEADER}' must be a number")
    connection_only = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    names = FORWARDED.intersection(headers) - connection_only
    return {name: headers[name] for name in names if headers[name].isascii() and headers[name].isprintable()}

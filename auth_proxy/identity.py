"""What a request carries from hop to hop: its id and its trace, and nothing else that a caller sets."""

import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pleura.errors import InvalidRequest

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TRACE_PARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")

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


@dataclass(frozen=True)
class Trace:
    """The W3C trace context of a request."""

    parent: str
    state: str | None = None

    @property
    def trace_id(self) -> str:
        """The 32 hexadecimal digits of the trace."""
        return self.parent.split("-")[1]

    def as_headers(self) -> dict[str, str]:
        """The headers of the next hop."""
        headers = {"traceparent": self.parent}
        return headers | {"tracestate": self.state} if self.state else headers


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


def trace_of(headers: Mapping[str, str], random_hex: Callable[[int], str] = secrets.token_hex) -> Trace:
    """The caller's trace where it is valid, else a new one.

    Source:
        W3C Trace Context, sections 3.2 and 4.3: an invalid ``traceparent`` restarts the trace.
    """
    parent, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    if not _TRACE_PARENT.fullmatch(parent):
        return Trace(f"00-{random_hex(16)}-{random_hex(8)}-01")
    return Trace(parent, state if _TRACE_STATE.fullmatch(state) else None)


def forwarded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Take the headers that may pass, less those that ``Connection`` declares for this hop only."""
    hop = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return {name: headers[name] for name in FORWARDED if name in headers and name not in hop}

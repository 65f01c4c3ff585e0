"""The id of a request: callers choose it or get a new one, and logs, errors and the journal name it."""

import re
import uuid
from collections.abc import Mapping
from typing import Final

REQUEST_ID_HEADER: Final = "x-request-id"
"""Header, or metadata of gRPC, that holds the id of a request."""
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_OTHER: Final = "other"


def new_request_id() -> str:
    """Make an id for a request that brings none."""
    return str(uuid.uuid4())


def is_safe_id(request_id: str) -> bool:
    """Say whether an id has the form in which logs and errors may repeat it."""
    return _SAFE_ID.fullmatch(request_id) is not None


def hide_unsafe_id(request_id: str) -> str:
    """Return the id, or "other" for an id in another form: its text may be a patient's name."""
    # docs/decisions/0031
    return request_id if is_safe_id(request_id) else _OTHER


def find_request_id(headers: Mapping[str, str]) -> str:
    """Return the id that the caller sent, or a new one."""
    return headers.get(REQUEST_ID_HEADER) or new_request_id()

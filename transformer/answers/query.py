"""Reads the bodies of the requests for stored answers: JSON objects whose members are texts.

The proxy makes them of the caller's path and query. In a body, no identifier reaches the log of a server
between the two.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pleura.contract import MAX_RADIOGRAPHS
from pleura.errors import InvalidRequest
from pleura.findings import FINDINGS
from pleura.identifiers import IDENTIFIER_NAMES, Identifiers, read_identifier
from transformer.request import require_printable_id

MAX_BODY_BYTES: Final = 8192
MAX_ANSWERS: Final = 100
_DEFAULT_ANSWERS: Final = 20


@dataclass(frozen=True)
class Requester:
    """Who asks for stored answers, and whether answers to other principals may be given."""

    principal: str
    reads_all: bool

    def choose_principal(self, answered_to: str | None) -> str | None:
        """Choose whose answers to look for; None for nobody's, since the requester may not read them."""
        if answered_to is None or answered_to == self.principal:
            return self.principal
        return answered_to if self.reads_all else None


@dataclass(frozen=True)
class AnswerName:
    """Names the answers of a request: its id, and the principal that was answered if the caller says so."""

    request_id: str
    answered_to: str | None


@dataclass(frozen=True)
class Cursor:
    """Where a page ended: the time and the key of its last answer."""

    answered_at: datetime
    principal: str
    request_id: str
    position: int

    def to_text(self) -> str:
        """Write the cursor as one word."""
        parts = [self.answered_at.isoformat(), self.principal, self.request_id, self.position]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()

    @classmethod
    def from_text(cls, text: str) -> "Cursor":
        """Read a cursor.

        Raises:
            InvalidRequest: ``to_text`` did not write it.
        """
        try:
            parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
            return _make_cursor(parts)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidRequest("'cursor' must be the 'next' of an earlier page") from error


@dataclass(frozen=True)
class AnswerQuery:
    """A search for answers by the identifiers of their radiographs. All that are given must match."""

    identifiers: Identifiers
    answered_to: str | None
    limit: int
    cursor: Cursor | None


@dataclass(frozen=True)
class OverlayQuery:
    """Which radiograph of a request to draw, and which finding; None for the first one of its list."""

    name: AnswerName
    position: int
    finding: str | None


def read_answer_name(body: bytes) -> AnswerName:
    """Read which answers to show.

    Raises:
        InvalidRequest: The body has another form.
    """
    return _read_name(_read_members(body, {"request_id", "answered_to"}))


def read_answer_query(body: bytes) -> AnswerQuery:
    """Read a search.

    Raises:
        InvalidRequest: The body has another form, names no identifier, or a value is not allowed.
    """
    members = _read_members(body, {*IDENTIFIER_NAMES, "answered_to", "limit", "cursor"})
    given = {name: read_identifier(name, members[name]) for name in IDENTIFIER_NAMES if name in members}
    if None in given.values() or not given:
        raise InvalidRequest(f"one or more of these must be given: {', '.join(IDENTIFIER_NAMES)}")
    cursor = members.get("cursor")
    return AnswerQuery(
        Identifiers(**given),
        _read_answered_to(members),
        _read_number(members, "limit", _DEFAULT_ANSWERS, range(1, MAX_ANSWERS + 1)),
        None if cursor is None else Cursor.from_text(cursor),
    )


def read_overlay_query(body: bytes) -> OverlayQuery:
    """Read which overlay to draw.

    Raises:
        InvalidRequest: The body has another form, or names no known finding.
    """
    members = _read_members(body, {"request_id", "answered_to", "position", "finding"})
    finding = members.get("finding")
    if finding not in (None, *FINDINGS):
        raise InvalidRequest(f"'finding' must be one of: {', '.join(FINDINGS)}")
    position = _read_number(members, "position", 0, range(MAX_RADIOGRAPHS))
    return OverlayQuery(_read_name(members), position, finding)


def _read_members(body: bytes, known: set[str]) -> Mapping[str, str]:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the body must be a JSON object") from error
    if not isinstance(members, dict) or not members.keys() <= known:
        raise InvalidRequest(f"these may be given: {', '.join(sorted(known))}")
    if not all(isinstance(value, str) for value in members.values()):
        raise InvalidRequest("each value must be a text")
    return members


def _read_name(members: Mapping[str, str]) -> AnswerName:
    request_id = require_printable_id("request id", members.get("request_id", ""))
    return AnswerName(request_id, _read_answered_to(members))


def _read_answered_to(members: Mapping[str, str]) -> str | None:
    principal = members.get("answered_to")
    return None if principal is None else require_printable_id("value of 'answered_to'", principal)


def _read_number(members: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = members.get(name)
    if text is None:
        return default
    # three digits: int() reads thousands of them, and other alphabets too
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) in allowed):
        raise InvalidRequest(f"{name!r} must be a whole number from {allowed[0]} to {allowed[-1]}")
    return int(text)


def _make_cursor(parts: Any) -> Cursor:
    time, principal, request_id, position = parts
    answered_at = datetime.fromisoformat(time)
    if answered_at.tzinfo is None or type(position) is not int or not 0 <= position < MAX_RADIOGRAPHS:
        raise ValueError("a part of the cursor is not allowed")
    return Cursor(
        answered_at.astimezone(UTC),
        require_printable_id("cursor", principal),
        require_printable_id("cursor", request_id),
        position,
    )

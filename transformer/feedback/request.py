"""Reads the body of ``POST /feedback``, in which a radiologist judges an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pleura.errors import InvalidRequest
from pleura.findings import FINDINGS
from pleura.strict_json import parse_strict_json
from transformer.request import require_printable_id

MAX_BODY_BYTES: Final = 16384
_MEMBERS: Final = frozenset({"id", "answered_to", "position", "verdicts", "had_seen_answer"})
_LAST_POSITION: Final = 31
_FORM: Final = (
    'the body must be {"id": "...", "verdicts": {FINDING: true | false | null, ...}, '
    '"had_seen_answer": true | false}, and if necessary "position" and "answered_to"'
)


@dataclass(frozen=True)
class AnswerKey:
    """The key of an answer in the journal: its principal, request id and position."""

    principal: str
    request_id: str
    position: int


@dataclass(frozen=True)
class FeedbackRequest:
    """One reader's verdicts on the findings of one answer. None means that the reader cannot tell."""

    reader: str
    feedback_id: str
    answer: AnswerKey
    verdicts: tuple[tuple[str, bool | None], ...]
    had_seen_answer: bool


def read_feedback(body: bytes, reader: str, feedback_id: str) -> FeedbackRequest:
    """Read feedback. No error quotes the body, which may contain a patient's name.

    Args:
        body: At most ``MAX_BODY_BYTES``.
        reader: The principal of the token. The body cannot name another reader.
        feedback_id: The request's id. The same id again means the same feedback.

    Raises:
        InvalidRequest: A member is missing, unknown, repeated, or has a wrong type.
    """
    document = _read_document(body)
    if not (_MEMBERS >= document.keys() >= {"id", "verdicts", "had_seen_answer"}):
        raise InvalidRequest(_FORM)
    position, had_seen = document.get("position", 0), document["had_seen_answer"]
    # in Python true is an int as well
    if type(position) is not int or not 0 <= position <= _LAST_POSITION:
        raise InvalidRequest(f"'position' must be a whole number from 0 to {_LAST_POSITION}")
    if not isinstance(had_seen, bool):
        raise InvalidRequest("'had_seen_answer' must be true or false")
    principal = require_printable_id("reader", reader)
    key = AnswerKey(
        _read_id("answered_to", document.get("answered_to", principal)),
        _read_id("id", document["id"]),
        position,
    )
    return FeedbackRequest(
        principal,
        require_printable_id("request id", feedback_id),
        key,
        _read_verdicts(document["verdicts"]),
        had_seen,
    )


def _read_document(body: bytes) -> Mapping[str, Any]:
    try:
        document = parse_strict_json(body)
    except ValueError as error:
        raise InvalidRequest(_FORM) from error
    if not isinstance(document, dict):
        raise InvalidRequest(_FORM)
    return document


def _read_id(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a string")
    return require_printable_id(f"member '{name}'", value)


def _read_verdicts(value: Any) -> tuple[tuple[str, bool | None], ...]:
    """Give the verdicts in the order of ``FINDINGS``, so that repeated feedback is equal."""
    if not isinstance(value, dict) or not value or not value.keys() <= set(FINDINGS):
        raise InvalidRequest(f"'verdicts' must name one or more of: {', '.join(FINDINGS)}")
    if not all(verdict is None or isinstance(verdict, bool) for verdict in value.values()):
        raise InvalidRequest("each verdict must be true, false, or null if the reader cannot tell")
    return tuple((name, value[name]) for name in FINDINGS if name in value)

"""What a radiologist says of an answer: the body of ``POST /feedback``, read strictly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pleura.errors import InvalidRequest
from pleura.findings import FINDINGS
from transformer.request import require_printable_id

MAX_BODY_BYTES: Final = 16384
_MEMBERS: Final = frozenset({"id", "answered_to", "position", "verdicts", "had_seen_answer"})
_LAST_POSITION: Final = 31
_FORM: Final = (
    'the body must be {"id": "...", "verdicts": {FINDING: true | false | null, ...}, '
    '"had_seen_answer": true | false}, with "position" and "answered_to" where need be'
)


@dataclass(frozen=True)
class AnswerKey:
    """Which answer of the journal is meant: who was answered, under which request id, at which position."""

    principal: str
    request_id: str
    position: int


@dataclass(frozen=True)
class FeedbackRequest:
    """One reader's word on findings of one answer; None for a finding that they cannot tell."""

    reader: str
    feedback_id: str
    answer: AnswerKey
    verdicts: tuple[tuple[str, bool | None], ...]
    had_seen_answer: bool


def read_feedback(body: bytes, reader: str, feedback_id: str) -> FeedbackRequest:
    """Read what a reader sends; no word of it is repeated in an error, for it may be a patient's name.

    Args:
        body: At most ``MAX_BODY_BYTES``.
        reader: The principal of the token, never anything that the body says.
        feedback_id: The request's id: what comes again under it is the same feedback.

    Raises:
        InvalidRequest: Anything is missing, unknown, double, or of another type.
    """
    document = _members(body)
    if not (_MEMBERS >= document.keys() >= {"id", "verdicts", "had_seen_answer"}):
        raise InvalidRequest(_FORM)
    position, had_seen = document.get("position", 0), document["had_seen_answer"]
    if type(position) is not int or not 0 <= position <= _LAST_POSITION:
        raise InvalidRequest(f"'position' must be a whole number from 0 to {_LAST_POSITION}")
    if not isinstance(had_seen, bool):
        raise InvalidRequest("'had_seen_answer' must be true or false")
    principal = require_printable_id("reader", reader)
    key = AnswerKey(
        _text("answered_to", document.get("answered_to", principal)), _text("id", document["id"]), position
    )
    return FeedbackRequest(
        principal,
        require_printable_id("request id", feedback_id),
        key,
        _verdicts(document["verdicts"]),
        had_seen,
    )


def _members(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(
            body.decode(), object_pairs_hook=_without_twins, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(_FORM) from error
    if not isinstance(document, dict):
        raise InvalidRequest(_FORM)
    return document


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"'{name}' must be a string")
    return require_printable_id(f"member '{name}'", value)


def _verdicts(value: Any) -> tuple[tuple[str, bool | None], ...]:
    """The verdicts in the order of the findings, so that the same again is equal."""
    if not isinstance(value, dict) or not value or not value.keys() <= set(FINDINGS):
        raise InvalidRequest(f"'verdicts' must name one or more of: {', '.join(FINDINGS)}")
    if not all(said is None or isinstance(said, bool) for said in value.values()):
        raise InvalidRequest("each verdict must be true, false, or null for what cannot be told")
    return tuple((name, value[name]) for name in FINDINGS if name in value)

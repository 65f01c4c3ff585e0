"""Feedback is read strictly."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.errors import InvalidRequest
from pleura.findings import FINDINGS
from transformer.feedback.request import AnswerKey, FeedbackRequest, read_feedback

GOOD: dict[str, Any] = {"id": "r1", "verdicts": {"Mass": True}, "had_seen_answer": False}
_NAMES = st.sampled_from([*GOOD, "answered_to", "position", "reader", *FINDINGS, "mass"])
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=3), inner),
    max_leaves=8,
)
_TEXT = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)


def _read(document: Any) -> FeedbackRequest:
    return read_feedback(json.dumps(document).encode(), "dr-a", "f1")


@given(
    _TEXT,
    _TEXT,
    st.integers(0, 31),
    st.dictionaries(st.sampled_from(FINDINGS), st.none() | st.booleans(), min_size=1),
    st.booleans(),
)
def test_valid_feedback_is_read(
    request_id: str, principal: str, position: int, verdicts: dict[str, bool | None], had_seen: bool
) -> None:
    """Every member is read, and verdicts come in the order of the findings. The token names the reader."""
    document = {"id": request_id, "answered_to": principal, "position": position, "had_seen_answer": had_seen}
    read = _read(document | {"verdicts": verdicts})
    assert read.answer == AnswerKey(principal, request_id, position)
    assert dict(read.verdicts) == verdicts
    assert [name for name, _ in read.verdicts] == [name for name in FINDINGS if name in verdicts]
    assert (read.reader, read.feedback_id, read.had_seen_answer) == ("dr-a", "f1", had_seen)


def test_optional_members_have_defaults() -> None:
    """Without position and principal, the feedback is about the first answer to the reader."""
    assert _read(GOOD).answer == AnswerKey("dr-a", "r1", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": 7},
        {"id": None},
        {"id": "a" * 257},
        {"id": "a\nb"},
        {"id": "a\0b"},
        {"id": "\ud800"},
        {"answered_to": ["ward-3"]},
        {"answered_to": None},
        {"reader": "dr-b"},
        {"principal": "dr-b"},
        {"given_at": "2020-01-01"},
        {"position": -1},
        {"position": 32},
        {"position": 0.0},
        {"position": True},
        {"position": "0"},
        {"position": 10**400},
        {"verdicts": {}},
        {"verdicts": []},
        {"verdicts": None},
        {"verdicts": {"mass": True}},
        {"verdicts": {"MASS": True}},
        {"verdicts": {"Mass ": True}},
        {"verdicts": {"No Finding": True}},
        {"verdicts": {"Mass": 1}},
        {"verdicts": {"Mass": "true"}},
        {"verdicts": {"Mass": float("nan")}},
        {"verdicts": {"Mass": {"Mass": True}}},
        {"verdicts": {"Mass": [True]}},
        {"had_seen_answer": None},
        {"had_seen_answer": 0},
        {"had_seen_answer": "false"},
    ],
    ids=str,
)
def test_a_wrong_member_is_refused(change: dict[str, Any]) -> None:
    """A single wrong type, name, range or member is refused."""
    with pytest.raises(InvalidRequest):
        _read(GOOD | change)


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_member_is_refused(missing: str) -> None:
    """The id, the verdicts, and whether the reader had seen the answer are required."""
    with pytest.raises(InvalidRequest):
        _read({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 16_000,
        b"9" * 16_000,
        json.dumps(GOOD).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps(GOOD).encode() + b" x",
        json.dumps(GOOD).replace('"id"', '"id": "r2", "id"').encode(),
        json.dumps(GOOD).replace('"Mass"', '"Mass": false, "Mass"').encode(),
        json.dumps(GOOD).replace('"Mass"', '"Mass": false, "M\\u0061ss"').encode(),
        json.dumps(GOOD).replace("false", "NaN").encode(),
    ],
    ids=lambda body: str(body[:40]),
)
def test_a_body_that_is_not_strict_json_is_refused(body: bytes) -> None:
    """Repeated members and other encodings could be read in two ways."""
    with pytest.raises(InvalidRequest):
        read_feedback(body, "dr-a", "f1")


@given(st.binary(max_size=200) | _ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_feedback_or_refused(body: bytes) -> None:
    """No body raises another error."""
    try:
        read = read_feedback(body, "dr-a", "f1")
    except InvalidRequest:
        return
    assert read.reader == "dr-a"

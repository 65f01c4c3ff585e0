"""Requests for stored answers, as the proxy sends them."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.errors import InvalidRequest
from pleura.identifiers import Identifiers
from transformer.answers.query import (
    AnswerName,
    AnswerQuery,
    Cursor,
    OverlayQuery,
    Requester,
    read_answer_name,
    read_answer_query,
    read_overlay_query,
)

NOW = datetime(2026, 11, 30, 12, 0, 0, 123456, UTC)


def write(**members: Any) -> bytes:
    """Write a body."""
    return json.dumps(members).encode()


def test_each_kind_of_request_is_read() -> None:
    """Numbers come as texts, as in a query."""
    cursor = Cursor(NOW, "ris", "request-1", 3)
    assert read_answer_name(write(request_id="r1", answered_to="ris")) == AnswerName("r1", "ris")
    body = write(accession_number=" A-4711", limit="100", cursor=cursor.to_text())
    assert read_answer_query(body) == AnswerQuery(Identifiers("A-4711"), None, 100, cursor)
    body = write(study_instance_uid="1.2.3")
    assert read_answer_query(body) == AnswerQuery(Identifiers(None, "1.2.3"), None, 20, None)
    body = write(request_id="r1", position="31", finding="Effusion")
    assert read_overlay_query(body) == OverlayQuery(AnswerName("r1", None), 31, "Effusion")
    assert read_overlay_query(write(request_id="r1")) == OverlayQuery(AnswerName("r1", None), 0, None)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"accession_number": ""},
        {"accession_number": "A", "study_instance_uid": ""},
        {"accession_number": "x" * 17},
        {"accession_number": 4711},
        {"accession_number": None},
        {"accession_number": "A", "patient": "B"},
        {"accession_number": "A", "limit": "0"},
        {"accession_number": "A", "limit": "101"},
        {"accession_number": "A", "limit": "-1"},
        {"accession_number": "A", "limit": "²"},
        {"accession_number": "A", "limit": "9" * 5000},
        {"accession_number": "A", "limit": 5},
        {"accession_number": "A", "cursor": ""},
        {"accession_number": "A", "cursor": "e30"},
        {"accession_number": "A", "cursor": "W10"},
        {"accession_number": "A", "cursor": Cursor(NOW, "a\0", "b", 0).to_text()},
        {"accession_number": "A", "cursor": Cursor(NOW, "a", "b", 99).to_text()},
        {"accession_number": "A", "cursor": Cursor(NOW.replace(tzinfo=None), "a", "b", 0).to_text()},
        {"accession_number": "A", "answered_to": ""},
    ],
    ids=str,
)
def test_a_wrong_search_is_refused(members: dict[str, Any]) -> None:
    """No member is guessed or passed over."""
    with pytest.raises(InvalidRequest):
        read_answer_query(write(**members))


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"request_id": ""},
        {"request_id": "r1", "finding": "effusion"},
        {"request_id": "r1", "finding": ""},
        {"request_id": "r1", "position": "32"},
        {"request_id": "r1", "limit": "1"},
    ],
    ids=str,
)
def test_a_wrong_overlay_is_refused(members: dict[str, Any]) -> None:
    """Only the fourteen findings and the 32 positions of a request exist."""
    with pytest.raises(InvalidRequest):
        read_overlay_query(write(**members))


@given(st.binary(max_size=200) | st.builds(json.dumps, st.dictionaries(st.text(), st.text())).map(str.encode))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """Nothing but our own error is raised."""
    for read in (read_answer_name, read_answer_query, read_overlay_query):
        with contextlib.suppress(InvalidRequest):
            read(body)


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    """A cursor comes from the caller."""
    with contextlib.suppress(InvalidRequest):
        Cursor.from_text(text)


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64),
    st.integers(0, 31),
)
def test_a_cursor_is_read_as_it_was_written(time: datetime, name: str, position: int) -> None:
    """It is one word that a query can hold as it is."""
    cursor = Cursor(time, name, name, position)
    text = cursor.to_text()
    assert Cursor.from_text(text) == cursor
    assert all(character.isascii() and (character.isalnum() or character in "-_") for character in text)


def test_only_a_requester_who_may_read_all_chooses_another_principal() -> None:
    """Everybody else chooses nobody's answers, so that nothing is found."""
    own, all_readers = Requester("ris", False), Requester("ris", True)
    assert (own.choose_principal(None), own.choose_principal("ris")) == ("ris", "ris")
    assert own.choose_principal("pacs") is None
    assert all_readers.choose_principal("pacs") == "pacs"

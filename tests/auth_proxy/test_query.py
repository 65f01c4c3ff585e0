"""The query of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.query import read_query
from pleura.errors import InvalidRequest

NAMES = ("accession_number", "limit")


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", {}),
        (b"limit=5", {"limit": "5"}),
        (b"accession_number=A%204711&limit=5", {"accession_number": "A 4711", "limit": "5"}),
        (b"accession_number=A+4711", {"accession_number": "A 4711"}),
        (b"accession_number=A%2B4711", {"accession_number": "A+4711"}),
        (b"accession_number=Z%C3%BCrich", {"accession_number": "Zürich"}),
        (b"accession_number=", {"accession_number": ""}),
        (b"accession_number=a=b", {"accession_number": "a=b"}),
    ],
)
def test_a_query_is_decoded_as_forms_are(query: bytes, values: dict[str, str]) -> None:
    """Percent-encoded UTF-8; a plus is a space."""
    assert read_query(query, NAMES) == values


@pytest.mark.parametrize(
    "query",
    [
        b"patient=1",
        b"limit",
        b"limit=5&",
        b"&",
        b"limit=5&limit=5",
        b"limit=5;accession_number=A",
        b"Limit=5",
        b"lim%69t=5&limit=6",
        b"accession_number=%ff",
        b"accession_number=\xff",
        b"accession_number=" + b"A" * 3000,
        b"&".join([b"limit=5"] * 200),
    ],
)
def test_any_other_query_is_refused(query: bytes) -> None:
    """What two programs could read differently is not guessed."""
    with pytest.raises(InvalidRequest):
        read_query(query, NAMES)


@given(st.binary(max_size=60))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    """The values are texts under known names, or the error is ours."""
    try:
        values = read_query(query, NAMES)
    except InvalidRequest:
        return
    assert values.keys() <= set(NAMES)
